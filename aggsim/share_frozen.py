"""What a frozen link carries beside its scenario: who computed which results, so that a later opening can check them.

    frozen=1,aggsim:0.1.0,inputs:5d41402a,sum:9b74c989;engine:analytic,version:2,model:…,device:…,ttft_ms:15523.4,…

One record an answer after the first, which is about the whole link; `none` stands for a scenario without an answer.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from aggsim.errors import InputError
from aggsim.scenario import PARAMETER, shown
from aggsim.share import Query, fields_of
from aggsim.share_compare import CURRENT, MAX_SCENARIOS, PIN_KEYS

__all__ = [
    "FROZEN",
    "NUMBERS",
    "Frozen",
    "FrozenAnswer",
    "decode_frozen",
    "encode_frozen",
    "inputs_digest",
]

FROZEN = "frozen"
"""The key in a link."""
VERSION = "1"
NUMBERS = (
    *("ttft_ms", "tpot_ms", "output_tokens_per_s", "end_to_end_ms", "concurrency"),
    *("memory_left_gib", "prefill_ms", "decode_ms"),
)
"""The headline results, in the order they are written."""
VERDICTS = ("ok", "memory", "ttft", "tpot")
MAX_CHARS = 6_000
_DIGEST_CHARS = 8
_NONE = "none"
_TEXTS = ("engine", "version", "model", "device", "verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenAnswer:
    """One answer as it was when the link was frozen."""

    engine: str
    version: str
    """Of the engine."""
    model: str
    """Digest of the model's description."""
    device: str
    """Digest of the device's description."""
    verdict: str
    """One of VERDICTS: ok, or the limit that stopped it."""
    numbers: Mapping[str, float]
    """By the names of NUMBERS, 12 significant digits; infinite where the rules say so, absent where nothing ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """What was frozen."""

    aggsim: str
    """Version of aggsim then."""
    inputs: str
    """inputs_digest of the link."""
    answers: tuple[FrozenAnswer | None, ...]
    """In the order of the comparison, one for a single scenario; None: there was no answer."""


def encode_frozen(frozen: Frozen) -> str:
    """The value of the key; the same results always give the same text."""
    records = ";".join(_record(answer) for answer in frozen.answers)
    head = f"{VERSION},aggsim:{_quoted(frozen.aggsim)},inputs:{frozen.inputs}"
    return f"{head},sum:{_digest(f'{head};{records}')};{records}"


def decode_frozen(text: str) -> Frozen:
    """Inverse of encode_frozen. Raises InputError for what is damaged, cut off or of a later version."""
    text = text.strip()
    version = text[:8].partition(",")[0]
    if version.isdigit() and version != VERSION:
        raise InputError(FROZEN, f"version {version}", f"version {VERSION}, the one this aggsim reads")
    try:
        return _decoded(text)
    except (ValueError, KeyError) as error:
        allowed = (
            "what Freeze has written into the link: it is damaged or cut off, so nothing can be checked against it"
        )
        raise InputError(FROZEN, shown(text[:40]), allowed) from error


def inputs_digest(query: Query) -> str:
    """Of the inputs that a link spells, in whatever order: of its fields and its pins."""
    known = {"v", CURRENT, *PARAMETER, *PIN_KEYS}
    texts = {key: values[-1] for key, values in fields_of(query).items() if key in known}
    return _digest("\n".join(f"{key}={text}" for key, text in sorted(texts.items())))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]


def _record(answer: FrozenAnswer | None) -> str:
    if answer is None:
        return _NONE
    texts = [f"{name}:{_quoted(getattr(answer, name))}" for name in _TEXTS]
    numbers = [f"{name}:{_spelled(answer.numbers[name])}" for name in NUMBERS if name in answer.numbers]
    return ",".join((*texts, *numbers))


def _decoded(text: str) -> Frozen:
    """Raises ValueError or KeyError."""
    if len(text) > MAX_CHARS:
        raise ValueError("too long")
    head, _, records = text.partition(";")
    said = _pairs(head.partition(",")[2])
    before_sum = head.rpartition(",sum:")[0]
    if _digest(f"{before_sum};{records}") != said["sum"]:
        raise ValueError("the checksum differs")
    answers = tuple(_answer(record) for record in records.split(";"))
    if len(answers) > MAX_SCENARIOS:
        raise ValueError("too many answers")
    return Frozen(aggsim=said["aggsim"], inputs=said["inputs"], answers=answers)


def _answer(record: str) -> FrozenAnswer | None:
    if record == _NONE:
        return None
    said = _pairs(record)
    numbers = {name: float(said[name]) for name in NUMBERS if name in said}
    if said["verdict"] not in VERDICTS or any(math.isnan(value) for value in numbers.values()):
        raise ValueError("no verdict, or a number that is none")
    return FrozenAnswer(numbers=numbers, **{name: said[name] for name in _TEXTS})


def _pairs(record: str) -> dict[str, str]:
    pairs = (part.partition(":") for part in record.split(","))
    return {name: unquote(value) for name, _, value in pairs}


def _spelled(number: float) -> str:
    """12 digits, without a plus sign: a blank in a link."""
    return f"{number:.12g}".replace("e+", "e")


def _quoted(text: str) -> str:
    return quote(text, safe="")
