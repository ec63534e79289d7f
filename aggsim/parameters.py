"""The one table of parameters behind the form, the link and the command line: names, defaults, ranges, wording.

A Parameter knows everything about one value by itself; rules between values are scenario.py's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

from aggsim.errors import InputError
from aggsim.parameters_arrivals import SPREAD_WORDS, TRACE_WORDS, normal_spread, normal_trace
from aggsim.parameters_choices import ATTENTION_MODES, ENGINE_NAMES, LINEAR_MODES, SCHEDULER_NAMES
from aggsim.parameters_load import LOAD_ROWS
from aggsim.parameters_values import finite, shown, spell

Kind = Literal["text", "choice", "whole", "number", "rates", "law", "spread", "trace"]
Group = Literal["Model", "Device and layout", "Workload", "Limits", "Arrivals", "Advanced"]
GROUPS: Final[tuple[Group, ...]] = ("Model", "Device and layout", "Workload", "Limits", "Arrivals", "Advanced")

MAX_TEXT_CHARS = 512
OWN, MAX_OWN_CHARS = "own:", 3_000  # a model and a device of one's own make a link of 6 kB (scenario_own.py)
MAX_RATES = 9
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""What a choice beyond the known ones may look like: the name of an engine that another package brings."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MAX_NUMBER_CHARS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearLaw:
    """Step time = fixed_s + per_token_s·T + per_token_ctx_s·Σ(q·s) + per_ctx_s·Σs over one replica's requests;
    memory left = memory_gib − gib_per_ctx·Σs."""

    fixed_s: float = 0.0
    per_token_s: float = 0.0
    per_token_ctx_s: float = 0.0
    per_ctx_s: float = 0.0
    memory_gib: float = 0.0
    gib_per_ctx: float = 0.0

    def __post_init__(self) -> None:
        for name in LAW_NAMES:
            number = finite(getattr(self, name))
            if number is None or not 0 <= number <= 1e12:
                raise InputError("law", f"{name}:{shown(getattr(self, name))}", PARAMETER["law"].allowed)
            object.__setattr__(self, name, number)
        if not (self.fixed_s or self.per_token_s or self.per_token_ctx_s or self.per_ctx_s):
            raise InputError("law", "a step that takes no time", PARAMETER["law"].allowed)


LAW_NAMES = tuple(field.name for field in fields(LinearLaw))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One field of a Scenario."""

    key: str
    kind: Kind
    group: Group
    label: str
    help: str
    """The tooltip: one or two sentences for a capacity planner."""
    default: Any
    unit: str = ""
    minimum: float = 0
    maximum: float = math.inf
    above_minimum: bool = False
    """The minimum itself is not allowed."""
    below_maximum: bool = False
    """The maximum itself is not allowed."""
    choices: tuple[str, ...] = ()
    others: str = ""
    """A choice: what else may be named, in words; whoever knows the names refuses the unknown ones."""
    none_word: str = ""
    """How None is written ("auto", "none"); empty: the value may not be None."""
    none_help: str = ""
    """What None stands for, to follow the word on screen."""

    @property
    def allowed(self) -> str:
        """What is allowed, in words that finish the sentence of an InputError."""
        low, high = f"{self.minimum:,g}", f"{self.maximum:,.0f}"
        words = {
            "text": f"1 to {MAX_TEXT_CHARS} printable characters",
            "choice": ", ".join(self.choices) + self.others,
            "whole": f"a whole number from {low} to {high}",
            "number": f"a number {f'above {low} and up' if self.above_minimum else f'from {low}'} to "
            f"{'below ' if self.below_maximum else ''}{high}",
            "rates": f"1 to {MAX_RATES} numbers from 0 to 1, joined by commas",
            "law": f"name:value pairs joined by commas ({', '.join(LAW_NAMES)}), none negative, some time above 0",
            "spread": SPREAD_WORDS,
            "trace": TRACE_WORDS,
        }[self.kind]
        return f"{words}, or {self.none_word}" if self.none_word else words

    def error(self, value: object) -> InputError:
        """The error that says this value is not allowed here."""
        return InputError(self.key, shown(value), self.allowed)

    def check(self, value: object) -> Any:
        """The value in its one normal form (2.0 → 2 where whole, a list of rates → a tuple); raises InputError."""
        return None if value is None and self.none_word else _CHECKS[self.kind](self, value)

    def parse(self, text: str) -> Any:
        """The value that a link or a text field spells; inverse of format(). Raises InputError."""
        text = text.strip()
        if self.none_word and text == self.none_word:
            return None
        if self.kind in ("whole", "number"):
            return self.check(self._spelled(text, text))
        if self.kind == "rates":
            return self.check([self._spelled(part, text) for part in text.split(",")])
        if self.kind == "law":
            pairs = [part.partition(":") for part in text.split(",")]
            law = {name.strip(): self._spelled(number, text) for name, _, number in pairs}
            if len(law) < len(pairs):
                raise self.error(text)
            return self.check(law)
        return self.check(text)

    def format(self, value: Any) -> str:
        """The one spelling of a checked value."""
        if value is None:
            return self.none_word
        if isinstance(value, tuple):
            return ",".join(spell(number) for number in value)
        if isinstance(value, LinearLaw):
            return ",".join(f"{name}:{spell(number)}" for name, number in asdict(value).items())
        return spell(value) if isinstance(value, float) else str(value)

    def _spelled(self, digits: str, text: str) -> float:
        """The number these digits spell; text is what was given, for the error."""
        digits = digits.strip()
        if len(digits) > _MAX_NUMBER_CHARS or not _NUMBER.fullmatch(digits) or math.isinf(float(digits)):
            raise self.error(text)
        return int(digits) if digits.lstrip("+-").isdigit() else float(digits)

    def _text(self, value: object) -> str:
        limit = MAX_OWN_CHARS if isinstance(value, str) and value.startswith(OWN) else MAX_TEXT_CHARS
        if not isinstance(value, str) or not 0 < len(value) <= limit:
            raise self.error(value)
        if not value.isprintable() or value != value.strip():
            raise self.error(value)
        return value

    def _choice(self, value: object) -> str:
        if not isinstance(value, str) or not (value in self.choices or (self.others and NAME.fullmatch(value))):
            raise self.error(value)
        return value

    def _spelled_out(self, value: object) -> str:
        normal = {"spread": normal_spread, "trace": normal_trace}[self.kind]
        number = finite(value)
        found = normal(value if isinstance(value, str) else "" if number is None else spell(number))
        if found is None:
            raise self.error(value)
        return found

    def _number(self, value: object) -> float:
        number = finite(value)
        if number is None or not self.minimum <= number <= self.maximum:
            raise self.error(value)
        if (self.above_minimum and number == self.minimum) or (self.below_maximum and number == self.maximum):
            raise self.error(value)
        return number

    def _whole(self, value: object) -> int:
        number = self._number(value)
        if not number.is_integer():
            raise self.error(value)
        return int(number)

    def _rates(self, value: object) -> tuple[float, ...]:
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_RATES:
            raise self.error(value)
        return tuple(self._number(rate) for rate in value)

    def _law(self, value: object) -> LinearLaw:
        if isinstance(value, LinearLaw):
            return value
        if not isinstance(value, Mapping) or not value:
            raise self.error(value)
        if unknown := [name for name in value if name not in LAW_NAMES]:
            raise self.error(f"an unknown name, {unknown[0]}")
        return LinearLaw(**value)


_CHECKS: Final[dict[Kind, Callable[[Parameter, object], Any]]] = {
    "text": Parameter._text,
    "choice": Parameter._choice,
    "whole": Parameter._whole,
    "number": Parameter._number,
    "rates": Parameter._rates,
    "law": Parameter._law,
    "spread": Parameter._spelled_out,
    "trace": Parameter._spelled_out,
}


# One entry is one row of a table: the formatter would make a page of each.
# fmt: off
def _row(key: str, kind: Kind, group: Group, label: str, default: Any, text: str, **rest: Any) -> Parameter:
    return Parameter(key=key, kind=kind, group=group, label=label, default=default, help=text, **rest)


_ONE_TO_4096: dict[str, Any] = {"minimum": 1, "maximum": 4096, "unit": "devices"}
_LENGTH = _ONE_TO_4096 | {"maximum": 1_000_000, "unit": "tokens"}
_LIMIT: dict[str, Any] = {"maximum": 1e9, "above_minimum": True, "unit": "ms",
                          "none_word": "none", "none_help": "no limit"}

PARAMETERS: Final[tuple[Parameter, ...]] = (
    _row("model", "text", "Model", "Model", "Qwen/Qwen3-32B",
         "The model to serve, by its id in the catalog."),
    _row("device", "text", "Device and layout", "Device", "H200_SXM_141G",
         "The accelerator that everything runs on, by its id in the catalog."),
    _row("devices", "whole", "Device and layout", "Number of devices", 8,
         "All devices of the deployment, over every replica and pipeline stage.", **_ONE_TO_4096),
    _row("tp", "whole", "Device and layout", "Tensor parallel (TP)", None,
         "Devices that share the matrices of every layer. More of them shorten a step and spread the weights, "
         "at the price of communication in every layer.",
         none_word="auto", none_help="the largest that fits inside one node", **_ONE_TO_4096),
    _row("pp", "whole", "Device and layout", "Pipeline parallel (PP)", 1,
         "Stages the layers are cut into. Saves memory on each device; every token still passes all stages.",
         minimum=1, maximum=4096, unit="stages"),
    _row("dp", "whole", "Device and layout", "Data parallel (DP)", None,
         "Copies of the model that work side by side. Follows from the rest: devices ÷ (TP · PP).",
         minimum=1, maximum=4096, unit="replicas", none_word="auto", none_help="devices ÷ (TP · PP)"),
    _row("ep", "whole", "Device and layout", "Expert parallel (EP)", None,
         "Mixture-of-experts models only: devices that the routed experts are spread over.",
         none_word="auto", none_help="all devices of a stage, TP · DP", **_ONE_TO_4096),
    _row("moe_dp", "whole", "Device and layout", "Expert copies (MoE-DP)", None,
         "Mixture-of-experts models only: copies of the routed experts. What EP · MoE-DP leaves of TP · DP "
         "splits each expert (MoE-TP).",
         minimum=1, maximum=4096, unit="copies", none_word="auto", none_help="1"),
    _row("linear", "choice", "Model", "Linear layers", None,
         "Number format of the linear layers: w4a8 means 4-bit weights and 8-bit activations; static and dynamic say "
         "how activations are scaled.", choices=LINEAR_MODES,
         none_word="auto", none_help="the checkpoint's own, else w8a8_dynamic on Ascend, fp8 where the device has it"),
    _row("experts", "choice", "Model", "Routed experts", None,
         "Number format of the routed experts, where it differs from the linear layers.", choices=LINEAR_MODES,
         none_word="auto", none_help="the checkpoint's own, else as the linear layers"),
    _row("attention", "choice", "Model", "KV cache", "none",
         "Number format of the KV cache. 8 bits hold twice the context of the model's own 16 (none).",
         choices=ATTENTION_MODES),
    _row("input", "whole", "Workload", "Input length", 3500, "Tokens of one prompt.", **_LENGTH),
    _row("output", "whole", "Workload", "Output length", 1500,
         "Tokens generated for one request, the first one included.", **_LENGTH),
    _row("batch", "whole", "Workload", "Batch size", None,
         "Requests one replica serves at once. Concurrency over the whole deployment is batch · DP · PP.",
         minimum=1, maximum=100_000, unit="requests per replica",
         none_word="auto", none_help="searched: the feasible one with the most output tokens/s"),
    _row("prefix_hit", "number", "Workload", "Prefix cache hit rate", 0.0,
         "Share of each prompt already in the KV cache. It needs no prefill, but decode still reads it.",
         maximum=1, below_maximum=True),
    _row("mtp", "whole", "Workload", "MTP tokens", 0,
         "Tokens drafted per step by multi-token prediction, besides the one that is certain.",
         maximum=9, unit="tokens"),
    _row("mtp_rates", "rates", "Workload", "MTP acceptance rates", (0.9, 0.6, 0.4, 0.2),
         "Expected share of accepted drafts: of the first drafted token, the second, and so on.", maximum=1),
    _row("max_batched_tokens", "whole", "Advanced", "Token budget per step", None,
         "Most tokens that one replica takes into one scheduler step. Longer prompts are cut into chunks.",
         minimum=1, maximum=10_000_000, unit="tokens",
         none_word="auto", none_help="4 × the input length; 2 × or 1 × where memory is short"),
    _row("reserved_gib", "number", "Advanced", "Reserved memory", 10.0,
         "Memory of each device that the serving software keeps for itself.", maximum=1_000_000, unit="GiB"),
    _row("ttft", "number", "Limits", "TTFT limit", None,
         "Longest acceptable mean time to first token.", **_LIMIT),
    _row("tpot", "number", "Limits", "TPOT limit", 50.0,
         "Longest acceptable mean time per output token. 50 ms are 20 tokens/s for each reader.", **_LIMIT),
    _row("engine", "choice", "Advanced", "Engine", "auto",
         "Who prices a forward pass: our roofline (analytic), measured tables (silicon), the real TensorCast, or your "
         "own law (linear). auto takes measured tables where they cover the question.", choices=ENGINE_NAMES,
         others=", or an engine that another package brings"),
    _row("backend", "choice", "Advanced", "Measured backend", "vllm",
         "Whose measured tables count where the silicon engine answers.", choices=("vllm", "sglang", "trtllm")),
    _row("law", "law", "Advanced", "Law of your own", None,
         "Step time and memory as fitted to your own benchmark, for engine linear: name:value pairs joined by commas.",
         none_word="none", none_help="no law"),
    _row("corrections", "choice", "Advanced", "Corrections", "auto",
         "Engine analytic: whether the known mistakes of the original's arithmetic are corrected. auto: none on Ascend "
         "and TEST_DEVICE, where the answer equals the original; all on every other device.",
         choices=("auto", "none", "all")),
    _row("scheduler", "choice", "Advanced", "Scheduler", "decode_first_with_slack",
         "How one step is shared. decode_first_with_slack: the original. chunked_prefill: vLLM v1. prefill_first: vLLM "
         "v0. static_batch: one batch after the other. All but the first need an arrival other than burst.",
         choices=SCHEDULER_NAMES),
    _row("timing", "choice", "Advanced", "Timing", "auto",
         "wave: one closed formula, for prompts that fit one step. stepped: every scheduler step simulated. "
         "auto: wave where the prompt fits.", choices=("auto", "wave", "stepped")),
    _row("rules", "choice", "Advanced", "Rule set", "current",
         "current: today's arithmetic. seed: the original formulas, kept exact for comparison.",
         choices=("current", "seed")),
    *(Parameter(**row) for row in LOAD_ROWS),
)
# fmt: on
PARAMETER: Final[dict[str, Parameter]] = {parameter.key: parameter for parameter in PARAMETERS}
