"""A search in sentences: how a layout is called, which one wins, why the others do not answer."""

from __future__ import annotations

import math

from aggsim.planning.deployment import Sizing, SizingResult
from aggsim.planning.evaluation import TriedBatch
from aggsim.planning.search_result import Candidate, Rejected, SearchResult
from aggsim.report.format import count, memory, number, percent
from aggsim.report.load_words import load_name, load_stop_words
from aggsim.report.rows import parallel_label
from aggsim.report.words import LIMIT_NAMES, limit_words, mode_words
from aggsim.scenario import Scenario
from aggsim.scenario_search import SearchQuestion
from aggsim.units import bytes_of_gib

__all__ = [
    "candidate_words",
    "device_words",
    "layout_words",
    "load_words",
    "loss_words",
    "operating_words",
    "point_words",
    "rejected_layout",
    "rejected_words",
    "rejection_words",
    "search_headline",
    "sizing_words",
    "spare_words",
]


def layout_words(candidate: Candidate) -> str:
    """E.g. "TP 4 × DP 2", "TP 8 × DP 8 × EP 64"; what is 1 goes without saying."""
    layout = candidate.layout
    sizes = {"TP": layout.tp, "DP": layout.dp, "PP": layout.pp}
    if candidate.is_moe:
        sizes |= {"EP": layout.ep, "MoE-TP": layout.moe_tp, "MoE-DP": layout.moe_dp}
    return " × ".join(f"{name} {size}" for name, size in sizes.items() if size > 1) or "TP 1"


def device_words(device: str, num_devices: int) -> str:
    """E.g. "8 × H200 SXM 141G"."""
    return f"{number(num_devices)} × {device.replace('_', ' ')}"


def point_words(scenario: Scenario, point: TriedBatch) -> str:
    """Where on a layout's curve: "batch 193", or the load: "6.1 requests/s", "512 users"."""
    return load_name(scenario, point) if scenario.is_load else f"batch {number(point.batch_size)}"


def candidate_words(candidate: Candidate, question: SearchQuestion) -> str:
    """The layout and whatever else varies: "8 × H200 SXM 141G · TP 4 × DP 2 · FP8 · KV INT8 · MTP 1"."""
    scenario, varied = candidate.scenario, question.varied
    quantization = candidate.quantization
    parts = [device_words(scenario.device_name, scenario.devices)] if {"device", "devices"} & varied.keys() else []
    parts.append(layout_words(candidate))
    if "linear" in varied:
        parts.append(mode_words(quantization.linear, "unquantized"))
    if "experts" in varied:
        parts.append(f"experts {mode_words(quantization.experts, 'unquantized')}")
    if "attention" in varied:
        parts.append(f"KV {mode_words(quantization.attention, '16 bit')}")
    if "mtp" in varied:
        parts.append(f"MTP {scenario.mtp}")
    return " · ".join(parts)


def search_headline(result: SearchResult) -> str:
    """E.g. "TP 8 wins: 3,875 tokens/s. Second: TP 4 × DP 2 at −6%."."""
    if result.best is None:
        return f"None of {count(result.num_layouts, 'layout')} meets the limits."
    first, *others = result.candidates
    answer = f"{candidate_words(first, result.question)} wins: {_rate_words(first, result)}."
    if not others:
        return answer
    share = result.rate_of(others[0]) / result.rate_of(first) - 1 if result.rate_of(first) else 0.0
    behind = "level with it" if share == 0 else f"at −{percent(-share)}"
    return f"{answer} Second: {candidate_words(others[0], result.question)} {behind}."


def _rate_words(candidate: Candidate, result: SearchResult) -> str:
    return f"{number(result.rate_of(candidate))} tokens/s{' per device' if result.by_device else ''}"


def rejection_words(rejected: Rejected) -> str:
    """Why a layout has no answer, in one sentence."""
    candidate = rejected.candidate
    if candidate is None:
        return rejected.reason
    stop = candidate.tried[0]
    if candidate.scenario.is_load and rejected.limit != "memory":
        return load_stop_words(candidate.scenario, stop)
    if rejected.limit == "memory":
        missing = memory(bytes_of_gib(-(stop.verdict.margin or 0.0)))
        return f"Does not fit at batch {number(stop.batch_size)}: {missing} short per device."
    limit = rejected.limit or "tpot"
    value, allowed = limit_words(candidate.scenario, limit, stop.ttft_s if limit == "ttft" else stop.tpot_s)
    over = stop.verdict.margin
    by = f", {percent(over)} over" if over is not None and math.isfinite(over) else ""
    return f"Too slow at batch {number(stop.batch_size)}: {LIMIT_NAMES[limit]} {value} > {allowed}{by}."


def rejected_layout(rejected: Rejected) -> str:
    """The layout as the exported rows spell it; of an impossible one, what was asked for."""
    if rejected.candidate is not None:
        candidate = rejected.candidate
        return parallel_label(candidate.layout, is_moe=candidate.is_moe, num_mtp_tokens=candidate.scenario.mtp)
    names = {"devices": "DEVICES", "tp": "TP", "pp": "PP", "dp": "DP", "ep": "EP", "moe_dp": "MOE-DP"}
    return " | ".join(f"{name}={rejected.asked[key]}" for key, name in names.items() if key in rejected.asked)


def rejected_words(result: SearchResult) -> list[str]:
    """One line a reason, the layouts it holds for behind it; in the order they were looked at."""
    layouts: dict[str, list[str]] = {}
    for rejected in result.rejected:
        layouts.setdefault(rejection_words(rejected), []).append(rejected_layout(rejected))
    return [f"{_listed(list(dict.fromkeys(names)))}: {reason}" for reason, names in layouts.items()]


def _listed(names: list[str], most: int = 3) -> str:
    more = [f"{number(len(names) - most)} more"] if len(names) > most else []
    return ", ".join((*names[:most], *more))


def load_words(result: SizingResult) -> str:
    """The load in all three units that capacity is spoken of in; in one where no layout says how long requests are."""
    load = f"{number(result.load_tokens_per_s)} output tokens/s"
    if not result.sizings:
        return load
    scenario = result.sizings[0].candidate.scenario
    requests = result.load_tokens_per_s / scenario.output
    return f"{load} ({number(requests)} requests/s, {number(requests * scenario.input)} prompt tokens/s)"


def sizing_words(sizing: Sizing) -> str:
    """E.g. "24 × H200 SXM 141G: 12 replicas of TP 2 at batch 96; 50,460 tokens/s, 1% to spare."."""
    candidate = sizing.candidate
    replicas = count(sizing.num_replicas, "replica")
    size = candidate.layout.num_devices
    of = layout_words(candidate) + (f" on {count(size, 'device')} each" if sizing.num_replicas > 1 else "")
    scenario = candidate.scenario
    batch = load_name(scenario) if scenario.is_load else f"batch {number(scenario.batch or 0)}"
    return (
        f"{device_words(candidate.scenario.device_name, sizing.num_devices)}: {replicas} of {of} at {batch}; "
        f"{number(sizing.capacity_tokens_per_s)} tokens/s, {percent(sizing.headroom)} to spare."
    )


def spare_words(sizing: Sizing) -> str:
    """What one lost replica means once the others take over its load, and what it takes to survive that."""
    spares = sizing.spares_needed()
    if not spares:
        return f"One replica lost: {loss_words(sizing)} No spare is needed."
    safe = sizing.with_replicas(sizing.num_replicas + spares)
    needed = f"{count(spares, 'spare replica')} needed (N+{spares}): {count(safe.num_devices, 'device')}"
    return f"One replica lost: {loss_words(sizing)} {needed}, {percent(safe.utilization)} used."


def loss_words(sizing: Sizing) -> str:
    """E.g. "3% short; the other 11 take 4,545 tokens/s each, at batch 212: TPOT 54.1 ms > 50 ms."."""
    lost = sizing.with_replicas(sizing.num_replicas - 1)
    if not lost.num_replicas:
        return "nothing is left."
    margin = f"still carried, {percent(lost.headroom)} to spare" if lost.carries else f"{percent(-lost.headroom)} short"
    others = f"the other {number(lost.num_replicas)} take" if lost.num_replicas > 1 else "the other takes"
    share = f"{others} {number(lost.load_per_replica_tokens_per_s)} tokens/s{' each' if lost.num_replicas > 1 else ''}"
    return f"{margin}; {share}, {operating_words(lost)}."


def operating_words(sizing: Sizing) -> str:
    """At which batch size a replica makes its share, and which limit that breaks."""
    point, scenario = sizing.operating_point, sizing.candidate.scenario
    if point is None:
        return f"more than any {'load that was tried' if scenario.is_load else 'batch size that fits'} makes"
    batch, limit = f"at {point_words(scenario, point)}", point.verdict.limit
    if limit is None:
        return f"{batch}, within the limits"
    if limit == "rate":
        return f"{batch}: more than it carries"
    value, allowed = limit_words(scenario, limit, point.ttft_s if limit == "ttft" else point.tpot_s)
    return f"{batch}: {LIMIT_NAMES[limit]} {value} > {allowed}"
