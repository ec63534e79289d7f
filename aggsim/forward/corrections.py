"""Where the original is wrong: figures that are offered under a name, while the default stays equal to it."""

from __future__ import annotations

from collections.abc import Iterable

from aggsim.errors import InputError

__all__ = ["CORRECTIONS", "check_corrections"]

CORRECTIONS: dict[str, str] = {
    "causal_prefill": "A query is scored against the tokens up to itself, not against the whole prompt: about half of "
    "a prefill's attention work.",
    "fp8_on_bf16": "Matrix work in a format the device lacks runs in BF16 instead of costing no time.",
    "fused_norm_quant": "The norm and the quantization after it are one kernel whatever the norm's epsilon; the "
    "original fuses them for 1e-6 only.",
    "grouped_experts": "The experts of a rank are always one grouped matmul; the original runs them one by one, with "
    "collectives for each, where their rows do not divide by tp or moe_tp is neither 1 nor tp.",
    "latent_context": "A prefill that continues a request expands the latent of its whole context, not of the new "
    "tokens alone.",
    "live_splits": "The parts of a merged projection keep it in memory until their last use; the original's memory "
    "tracker frees it at the split.",
    "mesh_sends": "A pipeline send over a full mesh has the one link to its peer; the original gives it the bandwidth "
    "of all links.",
    "rope_rows": "Rotary tables are read where the positions of the pass are; the original reads them whole, once a "
    "pass.",
    "shared_drafts": "Draft tokens use the embedding and the head of the model and repeat its own draft layers; the "
    "original holds a copy of all three for every draft token.",
    "w8a16_wide": "W8A16 keeps activations in 16 bits and unpacks the weights beside a 16-bit matmul; the original "
    "quantizes the activations and multiplies in INT8.",
}
"""Name → what it changes, in a sentence. EngineOptions.corrections holds some of the names."""


def check_corrections(names: Iterable[str]) -> frozenset[str]:
    """The names as a set. Raises InputError for one that is not in CORRECTIONS."""
    chosen = frozenset(names)
    for name in sorted(chosen - CORRECTIONS.keys()):
        raise InputError("corrections", name, ", ".join(CORRECTIONS))
    return chosen
