"""What pages and the command line call: answers, from memory or the store where they were given before.

Nothing above this module binds an engine, and nothing below it knows that answers are kept.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aggsim import codec
from aggsim.devices.catalog import device_ids, load_device
from aggsim.devices.spec import DeviceSpec
from aggsim.engines import ENGINES, load_engine
from aggsim.engines.base import ForwardModel
from aggsim.errors import UnsupportedModelError
from aggsim.forward.cost import ForwardCost
from aggsim.models.catalog import load_model, model_ids
from aggsim.models.spec import ModelSpec
from aggsim.planning.evaluate import evaluate as evaluate_deployment
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.forward_request import Binding, ForwardRequest
from aggsim.planning.resolve import Deployment, resolve
from aggsim.scenario import Scenario
from aggsim.service_passes import CachedForward
from aggsim.store import cache_key, default_store

__all__ = ["EngineStatus", "devices", "engines", "evaluate", "forget", "forward", "models"]

REMEMBERED_EVALUATIONS = 64
ANSWERING_CODE = ("units.py", "codec.py", "forward/*.py", "engines/*.py", "serving/*.py", "planning/*.py")
PASS_CODE = ("units.py", "codec.py", "forward/names.py")
"""What of it makes a pass of a slow engine, beside the engine's own files: these answers took long to get."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """One entry of ENGINES on this machine."""

    name: str
    version: str
    reason: str | None
    """Why it cannot be used here; None: it can."""


def evaluate(scenario: Scenario, *, model: ModelSpec | None = None, device: DeviceSpec | None = None) -> Evaluation:
    """The answer to a scenario; model and device default to the catalog entries that it names.

    Raises AggsimError: InputError naming the field, UnsupportedModelError, EngineError, NoProgressError.
    """
    model_key = _catalog_model_key(scenario.model) if model is None else cache_key("model", spec=model)
    model, device = model or load_model(scenario.model), device or load_device(scenario.device)
    deployment = resolve(scenario, model, device)
    key = _key("evaluation", deployment, model_key)
    evaluation = _memory.get(key)
    if evaluation is None:
        evaluation = _from_store(key, deployment)
        _memory.put(key, evaluation)
    return evaluation


def forward(request: ForwardRequest, *, model: ModelSpec | None = None) -> ForwardCost:
    """The price of one forward pass. Raises AggsimError as evaluate does."""
    binding = request.resolve(model or load_model(request.model), load_device(request.device))
    return _bind(binding).cost((request.group,))


def models() -> dict[str, ModelSpec | UnsupportedModelError]:
    """The catalog by id; an entry that cannot be priced is the error that says why."""
    found: dict[str, ModelSpec | UnsupportedModelError] = {}
    for model_id in model_ids():
        try:
            found[model_id] = load_model(model_id)
        except UnsupportedModelError as error:
            found[model_id] = error
    return found


def devices() -> dict[str, DeviceSpec]:
    """The catalog by id."""
    return {device_id: load_device(device_id) for device_id in device_ids()}


def engines() -> tuple[EngineStatus, ...]:
    """Every engine, usable here or not."""
    loaded = [load_engine(name) for name in ENGINES]
    return tuple(EngineStatus(name=e.name, version=e.version, reason=e.availability()) for e in loaded)


def forget() -> None:
    """Drop what this process remembers; the store keeps its entries."""
    _memory.clear()


def _from_store(key: str, deployment: Deployment) -> Evaluation:
    """Stored, or computed and stored; one session computes while others wait for the same key."""
    computed: list[Evaluation] = []

    def compute() -> Any:
        computed.append(evaluate_deployment(deployment, _bind(deployment)))
        return codec.pack(computed[0], share=ForwardCost)

    packed = default_store().get_or_compute(key, compute)
    return computed[0] if computed else codec.unpack(Evaluation, packed, share=ForwardCost)


def _bind(deployment: Deployment | Binding) -> ForwardModel:
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


def _key(schema: str, deployment: Deployment, model_key: str) -> str:
    """Of everything that determines an answer: question, contents of model and device, engine, and the code itself."""
    return cache_key(
        schema,
        code=_code_digest(),
        form=codec.signature(Evaluation),
        asked=deployment.asked,
        scenario=deployment.scenario,
        model=model_key,
        device=deployment.device,
        engine=[deployment.engine.name, deployment.engine.version],
    )


@functools.cache
def _catalog_model_key(model_id: str) -> str:
    return cache_key("model", spec=load_model(model_id))


@functools.cache
def _code_digest(parts: tuple[str, ...] = ANSWERING_CODE) -> str:
    """Of the source that answers are made with: an upgraded or edited aggsim never repeats what it used to say."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(path for part in parts for path in root.glob(part)):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class _Memory:
    """The last answers of this process, least recently used out first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Evaluation] = OrderedDict()

    def get(self, key: str) -> Evaluation | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: str, evaluation: Evaluation) -> None:
        with self._lock:
            self._kept[key] = evaluation
            self._kept.move_to_end(key)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


_memory = _Memory(REMEMBERED_EVALUATIONS)
