"""How answers are made and kept: engines bound, keys of everything that determines an answer, memory and store."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from aggsim import codec
from aggsim.engines.base import ForwardModel
from aggsim.forward.cost import ForwardCost
from aggsim.models.spec import ModelSpec
from aggsim.planning.forward_request import Binding
from aggsim.planning.resolve import Deployment
from aggsim.service_own import find_model
from aggsim.service_passes import CachedForward
from aggsim.store import cache_key, default_store

__all__ = ["Memory", "answer_key", "bind", "code_key", "forget", "kept", "model_key", "remembered"]

REMEMBERED_ANSWERS = 64
ANSWERING_CODE = ("units.py", "codec.py", "forward/*.py", "engines/*.py", "serving/*.py", "planning/*.py")
PASS_CODE = ("units.py", "codec.py", "forward/names.py")
"""What of it makes a pass of a slow engine, beside the engine's own files: these answers took long to get."""
_T = TypeVar("_T")


def bind(deployment: Deployment | Binding) -> ForwardModel:
    """The one place where an engine is bound; the passes of a slow one are kept."""
    forward, engine = deployment.bind(), deployment.engine
    if not getattr(engine, "slow", False):
        return forward
    key = cache_key(
        "passes",
        code=_code_digest((*PASS_CODE, f"engines/{engine.name}*.py")),
        model=deployment.model,
        device=deployment.device,
        engine=[engine.name, engine.version],
        layout=deployment.layout,
        quantization=deployment.quantization,
        options=asdict(deployment.options) | {"corrections": sorted(deployment.options.corrections)},
    )
    return CachedForward(forward=forward, store=default_store(), key=key)


def code_key(*parts: str) -> str:
    """Of the source in these places: patterns below the package."""
    return _code_digest(parts)


def answer_key(kind: type, **parts: object) -> str:
    """Of a question and all that determines its answer of this type; the code itself is part of it."""
    return cache_key(kind.__name__, code=_code_digest(), form=codec.signature(kind), **parts)


def model_key(model_id: str, model: ModelSpec | None) -> str:
    """Stands for the whole contents of a model; None: of the one that the id names."""
    return _model_key(model_id) if model is None else cache_key("model", spec=model)


def kept(kind: type[_T], key: str, compute: Callable[[], _T], *, wait: bool = True) -> _T:
    """The answer, remembered, stored, or computed and stored.

    wait: of many sessions one computes and the others wait; for answers that take seconds, not minutes.
    """
    answer = _memory.get(key)
    if answer is None:
        answer = _from_store(kind, key, compute) if wait else _from_store_alone(kind, key, compute)
        _memory.put(key, answer)
    found: _T = answer
    return found


def remembered(key: str, compute: Callable[[], _T]) -> _T:
    """As kept, but by this process only: for what is too large to store."""
    answer = _memory.get(key)
    if answer is None:
        answer = compute()
        _memory.put(key, answer)
    found: _T = answer
    return found


def forget() -> None:
    """Drop what this process remembers; the store keeps its entries."""
    _memory.clear()


def _from_store(kind: type[_T], key: str, compute: Callable[[], _T]) -> _T:
    computed: list[_T] = []

    def packed() -> Any:
        computed.append(compute())
        return codec.pack(computed[0], share=ForwardCost)

    stored: Any = default_store().get_or_compute(key, packed)
    return computed[0] if computed else codec.unpack(kind, stored, share=ForwardCost)


def _from_store_alone(kind: type[_T], key: str, compute: Callable[[], _T]) -> _T:
    stored: Any = default_store().get(key)
    if stored is not None:
        return codec.unpack(kind, stored, share=ForwardCost)
    computed = compute()
    default_store().put(key, codec.pack(computed, share=ForwardCost))
    return computed


@functools.lru_cache(maxsize=256)
def _model_key(model_id: str) -> str:
    return cache_key("model", spec=find_model(model_id))


@functools.cache
def _code_digest(parts: tuple[str, ...] = ANSWERING_CODE) -> str:
    """Of the source that answers are made with: an upgraded or edited aggsim never repeats what it used to say."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(path for part in parts for path in root.glob(part)):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class Memory:
    """The last answers of this process, least recently used out first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Any] = OrderedDict()

    def get(self, key: str) -> Any:
        """The answer, or None."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: str, answer: object) -> None:
        """Remember it; the least recently used one makes room."""
        with self._lock:
            self._kept[key] = answer
            self._kept.move_to_end(key)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


_memory = Memory(REMEMBERED_ANSWERS)
