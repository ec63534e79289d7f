"""The rules in short, what the model leaves out, and where its numbers come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aggsim.devices.spec import DeviceSpec
from aggsim.forward.corrections import CORRECTIONS
from aggsim.models.spec import ModelSpec
from aggsim.planning.accuracy_fit import load_fit
from aggsim.planning.evaluation import Evaluation
from aggsim.report.accuracy_words import BLIND, fit_words
from aggsim.report.format import duration, number
from aggsim.report.provenance import evidence
from aggsim.scenario_presets import PRESETS, Preset
from aggsim.units import seconds

__all__ = [
    "GOLDENS",
    "LIMITS",
    "RULES",
    "Note",
    "accuracy",
    "corrections",
    "goldens",
    "limits",
    "presets",
    "provenance",
    "rules",
]


def _wave(evaluation: Evaluation) -> bool:
    return evaluation.run.timing == "wave"


def _stepped(evaluation: Evaluation) -> bool:
    return evaluation.run.timing == "stepped"


def _burst(evaluation: Evaluation) -> bool:
    return not evaluation.scenario.is_load


def _analytic(evaluation: Evaluation) -> bool:
    return evaluation.engine.name == "analytic"


@dataclass(frozen=True, slots=True)
class Note:
    """One entry of a list: a name, a sentence or two, perhaps a formula, and whom it concerns."""

    name: str
    words: str
    formula: str = ""
    concerns: Callable[[Evaluation], bool] | None = None
    """None: every answer."""

    def concern(self, evaluation: Evaluation) -> bool:
        """This answer is one that it concerns."""
        return self.concerns is None or self.concerns(evaluation)


RULES: Final[tuple[Note, ...]] = (
    Note("Concurrency", "All requests of a run arrive at once; each replica serves one batch of them.",
         "C = batch size · dp · pp"),
    Note("Chunk plan", "What the prefix cache does not hold of a prompt is cut into pieces under the token budget B of "
         "a replica. B is 4 × the input length unless given; 2 × or 1 × where one request alone does not fit.",
         "L = input − ⌊input · prefix hit⌋\npiece = min(B, what is left of L)"),
    Note("Wave", "For prompts of one piece. As many whole prompts as the budget holds are prefilled together, wave "
         "after wave; then all requests decode together. t is the time of a full wave, t_r that of the rest.",
         "P = ⌊B·dp ÷ L⌋   k = ⌊C ÷ P⌋   r = C − k·P\n"
         "TTFT = [P · t · k(k+1)/2 + r · (k·t + t_r)] ÷ C", _wave),
    Note("Stepped", "For prompts of several pieces, or on request. Every step of the scheduler is simulated; the last "
         "piece of a prompt makes its first token. TTFT and TPOT are means over the requests.",
         "step time = max(prefill pass, decode pass)", _stepped),
    Note("Scheduler", "decode_first_with_slack: every ready request decodes, up to the budget; then prompts at the "
         "front of the queue are prefilled as far as 1.15 budgets allow, all at the same piece.",
         "d = min(ready, B·dp)\np = min(pending, ⌊(⌊1.15 · B·dp⌋ − d) ÷ piece⌋)", _stepped),
    Note("TPOT, incl. TTFT", "The definition of wave answers: waiting for prefill counts in.",
         "TPOT = (TTFT + t_d · output) ÷ output", _wave),
    Note("TPOT, after first token", "The definition of stepped answers: only what follows the first token counts.",
         "TPOT = (end − first token) ÷ (output − 1)", _stepped),
    Note("Decode pass", "Priced once, in the middle of the output. With MTP it checks M drafts, and its time is shared "
         "by the tokens expected to be accepted.",
         "context = input + ⌊output ÷ 2⌋ + M + 1\nt_d = pass ÷ (1 + a₁ + … + a_M)"),
    Note("Output tokens/s", "A wave counts the time of one request, a stepped run the time until the last request is "
         "done.", "wave: output · C ÷ (TTFT + t_d · output)\nstepped: output · C ÷ end of the run"),
    Note("Operator", "The slower of arithmetic and memory, then a fixed launch cost. A pass is the sum of its "
         "operators, on the slowest device.",
         "t = max(FLOPs ÷ reachable rate, bytes ÷ reachable bandwidth) + launch", _analytic),
    Note("Collective", "The faster of two algorithms (all-reduce: ring or tree) on the slowest link that joins the "
         "group, and never faster than touching its own memory.",
         "ring all-reduce = 2(N−1)/N · bytes ÷ bandwidth + 2(N−1) · latency", _analytic),
    Note("Memory", "Weights, KV cache, the peak of the activations and what is reserved count. The analytic engine "
         "keeps the cache in blocks of 128 tokens. A batch that does not fit is refused: nothing is preempted.",
         "left = capacity − reserved − weights − KV cache − activations"),
    Note("Batch search", "The batch size doubles from 512 until memory or a limit stops it, then is bisected. The "
         "answer is the feasible size with the most output tokens/s, not always the largest."),
    Note("Rule set seed", "The original formulas, exact, bugs included: throughput counts TTFT twice, the budget is "
         "not multiplied by dp, and memory running out does not end a run.",
         concerns=lambda evaluation: evaluation.scenario.rules == "seed"),
)  # fmt: skip
"""In the order in which an answer comes about."""

LIMITS: Final[tuple[Note, ...]] = (
    Note("A burst, not a stream", "All requests arrive at the same moment. A steady load waits less: TTFT is that of "
         "the worst case.", concerns=_burst),
    Note("Means, not percentiles", "Limits are compared with means over the requests; the last request of a burst "
         "waits about twice the mean.", concerns=_burst),
    Note("Decode at its middle", "Every decode pass is priced at half of the output. Early tokens are faster, late "
         "ones slower; memory at the last token is shown beside."),
    Note("Host time", "Tokenizer, network, Python and scheduling between steps cost nothing."),
    Note("No overlap inside a pass", "Operators run one after the other: a collective never hides behind a matrix "
         "product, though good software can do that."),
    Note("Full overlap in a mixed step", "The prefill and the decode pass of a step run side by side and do not slow "
         "each other down.", concerns=_stepped),
    Note("One efficiency", "Compute and memory reach one fixed share of their peaks whatever the shape: small and odd "
         "matrix products look too fast.", concerns=_analytic),
    Note("No causal halving", "Prefill attention is priced for the whole square of the prompt, though a token only "
         "looks back: long prompts look slower than they are.", concerns=_analytic),
    Note("W8A16 as W8A8", "W8A16 is priced with 8-bit activations, as in the original.",
         concerns=lambda e: _analytic(e) and e.quantization.linear.startswith("w8a16")),
    Note("Missing formats are free", "Matrix work in a format the device has no units for costs no time, only its "
         "memory traffic. A warning says so.",
         concerns=lambda e: any("no matrix units" in warning for warning in e.warnings)),
    Note("Activations as tracked", "Peak activations follow the original's memory tracker: a merged projection is "
         "freed at its split, and with MTP every draft has its own copy of embedding, head and draft layer.",
         concerns=_analytic),
    Note("Even experts", "Tokens spread evenly over the experts; a hot expert slows real passes down.",
         concerns=lambda evaluation: evaluation.is_moe),
    Note("Pipeline stages wait", "One batch passes the stages one after the other: no micro-batches fill the pipeline.",
         concerns=lambda evaluation: evaluation.layout.pp > 1),
    Note("Links to itself", "Each collective has its links alone; replicas do not disturb one another.",
         concerns=lambda evaluation: evaluation.layout.num_devices > 1),
    Note("The same prefix", "Every prompt hits the cache with the same share, and what is cached takes no memory "
         "beyond the requests' own.", concerns=lambda evaluation: evaluation.scenario.prefix_hit > 0),
    Note("Between measured shapes", "Shapes that nobody measured are interpolated; norms and embeddings are computed, "
         "and memory is estimated.", concerns=lambda evaluation: evaluation.engine.name == "silicon"),
    Note("Language model only", "Vision and audio towers of multimodal models are not counted.",
         concerns=lambda e: any("tower" in warning for warning in e.warnings)),
)  # fmt: skip

GOLDENS: Final[tuple[Note, ...]] = (
    Note("174 forward passes", "of the original program (Ascend msModeling, analytic model) on the same models and "
         "devices: latency within 1%, every operator within 2% and called as often, weights and KV cache within 0.5%, "
         "available memory within 1% of the device. In 3 of them the recorded memory contradicts its neighbours, and "
         "2% is allowed.", concerns=_analytic),
    Note("320 schedules", "recorded from both versions of the original, seed and current: every step, TTFT, TPOT, "
         "throughput and memory to a relative 1e-9."),
    Note("3 searches", "of the real optimizer: TTFT, TPOT and throughput within 1.5%, the batch size within 2%.",
         concerns=_analytic),
)  # fmt: skip
"""Recordings that the tests hold every change to."""

_ENGINES: Final = {
    "analytic": "Our own roofline of every operator, equal to the original's analytic model.",
    "silicon": "Operator times measured on real systems, from the tables of aiconfigurator-core.",
    "tensor_cast": "The original program's analytic model itself, run beside aggsim.",
    "linear": "A law for the step time that was given with the question.",
}


def rules(evaluation: Evaluation) -> list[tuple[Note, bool]]:
    """RULES, and whether each made this answer."""
    return [(rule, rule.concern(evaluation)) for rule in RULES]


def limits(evaluation: Evaluation) -> list[tuple[Note, bool]]:
    """LIMITS, and whether each concerns this answer; those that do come first."""
    found = [(limit, limit.concern(evaluation)) for limit in LIMITS]
    return sorted(found, key=lambda pair: not pair[1])


def goldens(evaluation: Evaluation) -> list[Note]:
    """GOLDENS that hold this answer."""
    return [golden for golden in GOLDENS if golden.concern(evaluation)]


def accuracy() -> list[Note]:
    """What is fitted to measurements, and what that is worth. No answer on Plan uses it."""
    return [Note("Global parameters", fit_words(load_fit())), Note("Fit and report", BLIND)]


def corrections() -> list[Note]:
    """Where the original is wrong: what can be asked to differ from it, by name."""
    return [Note(name, words) for name, words in CORRECTIONS.items()]


def presets() -> list[Note]:
    """The workloads that the form offers, and where their lengths and limits come from."""
    return [Note(preset.name, _preset_words(preset)) for preset in PRESETS]


def _preset_words(preset: Preset) -> str:
    cached = f", {number(100 * preset.prefix_hit)}% of the prompt cached" if preset.prefix_hit else ""
    limits = " and ".join(
        f"{name} ≤ {duration(seconds(limit))}"
        for name, limit in (("TTFT", preset.ttft), ("TPOT", preset.tpot))
        if limit is not None
    )
    if preset.percentile != "mean":
        limits += f" at {preset.percentile.upper()}"
    return (
        f"{preset.about} {number(preset.input)} → {number(preset.output)} tokens{cached}: {preset.lengths_source}. "
        f"Limits: {f'{limits}, {preset.limits_source}' if limits else preset.limits_source}."
    )


def provenance(evaluation: Evaluation, model: ModelSpec | None, device: DeviceSpec | None) -> list[Note]:
    """Who computed the answer, from which data. model, device: None where the catalog does not have them."""
    engine, scenario = evaluation.engine, evaluation.scenario
    shares = "; ".join(evidence(evaluation).shares)
    found = [Note("Engine", f"{engine.name} {engine.version}. {_ENGINES.get(engine.name, '')} {shares}.")]
    if device is not None:
        found.append(Note("Device", f"{device.device_id}. {' '.join(device.source.split())}"))
    if model is not None:
        found.append(
            Note("Model", f"{model.model_id} ({model.architecture}). Read from its config.json: {model.source}.")
        )
    own = model.quantization.source if model and model.quantization else ""
    said = f"Said by the checkpoint: {own}." if own else "The checkpoint says nothing."
    used = f"Used: linear layers {scenario.linear}, routed experts {scenario.experts}, KV cache {scenario.attention}."
    if not evaluation.is_moe:
        used = f"Used: linear layers {scenario.linear}, KV cache {scenario.attention}."
    return [*found, Note("Number formats", f"{used} {said}")]
