"""The exported row: the original's column names, milliseconds, rounded to 3 places.

No pandas here: tables and command line share it.
"""

from __future__ import annotations

from aggsim.forward.cost import ForwardCost
from aggsim.planning.evaluation import Evaluation, TriedBatch
from aggsim.scenario import ParallelLayout
from aggsim.units import ms

__all__ = ["Row", "breakdown_label", "parallel_label", "result_row", "tried_rows"]

Row = dict[str, str | int | float]


def result_row(evaluation: Evaluation) -> Row:
    """The answer as one exported row (reference columns, in order). Infinite times stay math.inf."""
    scenario, run = evaluation.scenario, evaluation.run
    return {
        "device_name": scenario.device,
        "num_devices": scenario.devices,
        "model_id": scenario.model,
        "quantize_linear_action": _action(evaluation.quantization.linear),
        "quantize_attention_action": _action(evaluation.quantization.attention),
        "input_length": scenario.input,
        "output_length": scenario.output,
        "effective_input_length": run.effective_input_tokens,
        "max_batched_tokens": run.max_batched_tokens,
        "prefill_num_chunks": run.num_chunks,
        "concurrency": run.concurrency,
        "ttft": round(ms(run.ttft_s), 3),
        "tpot": round(ms(run.tpot_s), 3),
        "token/s": round(run.output_tokens_per_s, 3),
        "token/s/device": round(evaluation.output_tokens_per_s_per_device, 3),
        "parallel": parallel_label(
            evaluation.layout, is_moe=evaluation.is_moe, num_mtp_tokens=_labelled_mtp(evaluation)
        ),
        "batch_size": run.batch_size,
        "percentage_breakdowns(p)": breakdown_label(run.prefill_cost),
        "percentage_breakdowns(d)": breakdown_label(run.decode_cost),
    }


def tried_rows(evaluation: Evaluation) -> list[Row]:
    """One row per batch size the search evaluated, ascending; breakdowns are kept in the answer's row only."""
    answer = result_row(evaluation)
    return [
        answer if tried.batch_size == answer["batch_size"] else _tried_row(answer, tried, evaluation)
        for tried in evaluation.tried
    ]


def _tried_row(answer: Row, tried: TriedBatch, evaluation: Evaluation) -> Row:
    return answer | {
        "concurrency": tried.concurrency,
        "ttft": round(ms(tried.ttft_s), 3),
        "tpot": round(ms(tried.tpot_s), 3),
        "token/s": round(tried.output_tokens_per_s, 3),
        "token/s/device": round(tried.output_tokens_per_s / evaluation.layout.num_devices, 3),
        "batch_size": tried.batch_size,
        "percentage_breakdowns(p)": "",
        "percentage_breakdowns(d)": "",
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


def _labelled_mtp(evaluation: Evaluation) -> int:
    """The original's labels name MTP only since rules=current."""
    return evaluation.scenario.mtp if evaluation.scenario.rules == "current" else 0


def _action(label: str) -> str:
    """Quantization labels as the exported rows have always spelled them."""
    return "DISABLED" if label == "none" else label.upper()
