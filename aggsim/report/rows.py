"""The exported row: the original's column names, milliseconds, rounded to 3 places.

No pandas here: tables and command line share it.
"""

from __future__ import annotations

from aggsim.forward.cost import ForwardCost
from aggsim.planning.evaluation import Evaluation, TriedBatch
from aggsim.planning.search_result import Candidate, SearchPoint
from aggsim.scenario import ParallelLayout
from aggsim.serving.run import ServingRun
from aggsim.units import ms

__all__ = ["Row", "breakdown_label", "parallel_label", "point_row", "result_row", "tried_rows"]

Row = dict[str, str | int | float]


def result_row(evaluation: Evaluation) -> Row:
    """The answer as one exported row (reference columns, in order). Infinite times stay math.inf."""
    run = evaluation.run
    breakdowns = breakdown_label(run.prefill_cost), breakdown_label(run.decode_cost)
    answer = run if evaluation.load is None else evaluation.answer_point
    return _row(evaluation, answer, run.effective_input_tokens, run.num_chunks, breakdowns)


def tried_rows(evaluation: Evaluation) -> list[Row]:
    """One row per batch size or load that was evaluated, ascending; breakdowns are kept in the answer's row only."""
    run, answer = evaluation.run, evaluation.answer_point
    return [
        result_row(evaluation)
        if tried is answer
        else _row(evaluation, tried, run.effective_input_tokens, run.num_chunks)
        for tried in evaluation.tried
    ]


def point_row(point: SearchPoint) -> Row:
    """One evaluated point of a search; breakdowns are known of evaluations only."""
    candidate = point.candidate
    return _row(candidate, point.tried, candidate.effective_input_tokens, candidate.num_chunks)


def _row(
    answer: Evaluation | Candidate,
    run: ServingRun | TriedBatch,
    effective_input_tokens: int,
    num_chunks: int,
    breakdowns: tuple[str, str] = ("", ""),
) -> Row:
    scenario, layout = answer.scenario, answer.layout
    num_mtp_tokens = scenario.mtp if scenario.rules == "current" else 0  # the seed's labels did not name it
    return {
        "device_name": scenario.device_name,
        "num_devices": scenario.devices,
        "model_id": scenario.model_name,
        "quantize_linear_action": _action(answer.quantization.linear),
        "quantize_attention_action": _action(answer.quantization.attention),
        "input_length": scenario.input,
        "output_length": scenario.output,
        "effective_input_length": effective_input_tokens,
        "max_batched_tokens": scenario.max_batched_tokens or 0,
        "prefill_num_chunks": num_chunks,
        "concurrency": run.concurrency,
        "ttft": round(ms(run.ttft_s), 3),
        "tpot": round(ms(run.tpot_s), 3),
        "token/s": round(run.output_tokens_per_s, 3),
        "token/s/device": round(run.output_tokens_per_s / layout.num_devices, 3),
        "parallel": parallel_label(layout, is_moe=answer.is_moe, num_mtp_tokens=num_mtp_tokens),
        "batch_size": run.batch_size,
        "percentage_breakdowns(p)": breakdowns[0],
        "percentage_breakdowns(d)": breakdowns[1],
    }


def parallel_label(layout: ParallelLayout, *, is_moe: bool, num_mtp_tokens: int = 0) -> str:
    """E.g. "TP=8 | PP=1 | DP=2 | EP=16 | MOE-TP=1 | MOE-DP=1 | MTP=1"; the parts of MoE and MTP where there is any."""
    parts = {"TP": layout.tp, "PP": layout.pp, "DP": layout.dp}
    if is_moe:
        parts |= {"EP": layout.ep, "MOE-TP": layout.moe_tp, "MOE-DP": layout.moe_dp}
    if num_mtp_tokens > 0:
        parts["MTP"] = num_mtp_tokens
    return " | ".join(f"{name}={value}" for name, value in parts.items())


def breakdown_label(cost: ForwardCost | None) -> str:
    """E.g. "Mem 16.87 | Comm 33.70 | Cube 45.76 | Vec 3.68": percent of the bound times; "" where none is known."""
    if cost is None or cost.bound_s.total <= 0:
        return ""
    bound = cost.bound_s
    parts = {"Mem": bound.memory, "Comm": bound.communication, "Cube": bound.mma, "Vec": bound.gp}
    return " | ".join(f"{name} {100 * seconds / bound.total:.2f}" for name, seconds in parts.items())


def _action(label: str) -> str:
    """Quantization labels as the exported rows have always spelled them."""
    return "DISABLED" if label == "none" else label.upper()
