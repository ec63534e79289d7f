"""All-reduces that aiconfigurator-core misses or counts twice, and those of vLLM on Blackwell, which are read from the
table of the kernel that a served model runs.

MiniMax M2 norms queries and keys over all heads: the devices of a tensor-parallel group add up the variances of each
token, one more small all-reduce a layer, which the package does not list.

The package lists the all-reduces after attention and after the experts as a dispatch before and after the experts. For
models with latent attention under vLLM it adds both once more (`tp_allreduce`): those are left out.

vLLM's table on Blackwell is of its custom kernel, which jumps from 9 to 26 µs where 8 devices reduce 128 KiB and from 9
to 18 µs where 4 reduce 256 KiB. A served model does not run it: vLLM fuses the all-reduce with the norm behind it
(fuse_allreduce_rms), in a kernel of FlashInfer that was taken from TensorRT-LLM, whose table has 8 and 7 µs there.
"""

from __future__ import annotations

from typing import Any

from aggsim.engines.silicon_ops import members
from aggsim.models.spec import ModelSpec

__all__ = ["DONOR", "add_qk_norm", "borrows", "has_joint_qk_norm", "once_each", "with_donor"]

DONOR = "trtllm"
"""Whose all-reduce table is read instead."""
FUSED_SYSTEMS = frozenset({"b200_sxm", "b300_sxm", "gb200"})
VARIANCES = 4
"""Halves of a token's two variances in 32 bits."""
PHASES = ("context_ops", "generation_ops")


def borrows(backend: str, system: str) -> bool:
    """All-reduces are read from the table of DONOR."""
    return backend == "vllm" and system in FUSED_SYSTEMS


def has_joint_qk_norm(model: ModelSpec) -> bool:
    """Queries and keys are normed over all heads, those of other devices included."""
    return model.architecture == "MiniMaxM2ForCausalLM"


def add_qk_norm(spec: dict[str, Any], model: ModelSpec, tp: int) -> tuple[str, ...]:
    """List what the norms of queries and keys exchange, in place; what was done, in sentences."""
    if tp == 1 or not has_joint_qk_norm(model):
        return ()
    for phase in PHASES:
        fields = {
            "name": f"{phase.removesuffix('_ops')}_qk_norm_ar",
            "scale_factor": float(model.num_layers),
            "hidden_size": VARIANCES,
            "tp_size": tp,
            "quant": "half",
            "seq_split": 1,
        }
        spec[phase].append({"CustomAllReduce": fields})
    return ("The all-reduce of the norms of queries and keys is added, which aiconfigurator-core does not list.",)


def once_each(spec: dict[str, Any], backend: str) -> tuple[str, ...]:
    """Leave out in place what is listed twice; what was done, in sentences. With data-parallel attention the dispatch
    is another collective, so nothing is."""
    if backend != "vllm" or not any(
        _is_all_reduce(part) for phase in PHASES for op in spec[phase] for part in members(op)
    ):
        return ()
    twice = [op for phase in PHASES for op in spec[phase] if _name(op).endswith("_tp_allreduce")]
    if not twice:
        return ()
    for phase in PHASES:
        spec[phase] = _with_lifted([op for op in spec[phase] if op not in twice])
    return ("All-reduces that aiconfigurator-core lists twice for this model are counted once.",)


def with_donor(spec: dict[str, Any], version: str) -> dict[str, Any] | None:
    """The same operators for the tables of DONOR. In place: each all-reduce stands by itself, none in a dispatch.

    version: of DONOR's tables. None: there is no all-reduce.
    """
    for phase in PHASES:
        spec[phase] = _with_lifted(spec[phase])
    if not any("CustomAllReduce" in op for phase in PHASES for op in spec[phase]):
        return None
    return spec | {"engine": spec["engine"] | {"backend": DONOR, "backend_version": version}}


def _with_lifted(ops: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each all-reduce by itself, at the end where it was inside another operator."""
    moved: list[dict[str, Any]] = []
    return [_lifted(op, moved) for op in ops] + moved


def _lifted(op: dict[str, Any], moved: list[dict[str, Any]]) -> dict[str, Any]:
    """The operator without all-reduces inside, which are put into moved."""
    ((family, fields),) = op.items()
    if family == "Overlap":
        groups = {}
        for group in ("group_a", "group_b"):
            groups[group] = [part for part in fields[group] if not _is_all_reduce(part)]
            moved += [_all_reduce(part) for part in fields[group] if _is_all_reduce(part)]
        return {family: fields | groups}
    return _all_reduce(op) if _is_all_reduce(op) else op


def _is_all_reduce(op: dict[str, Any]) -> bool:
    fields = op.get("MoeDispatch")
    return fields is not None and fields["flavor"] == "CustomAllReduce" and fields["attention_dp_size"] == 1


def _all_reduce(op: dict[str, Any]) -> dict[str, Any]:
    fields = op["MoeDispatch"]
    return {
        "CustomAllReduce": {
            "name": fields["name"],
            "scale_factor": fields["scale_factor"],
            "hidden_size": fields["hidden_size"],
            "tp_size": fields["moe_tp_size"] * fields["moe_ep_size"],
            "quant": fields["comm_quant"],
            "seq_split": 1,
        }
    }


def _name(op: dict[str, Any]) -> str:
    ((_, fields),) = op.items()
    return str(fields["name"])
