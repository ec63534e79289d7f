"""The catalog as tables: one row a model, one row a device, and the details of one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from aggsim.devices.spec import DeviceSpec, LinkLevel
from aggsim.errors import UnsupportedModelError
from aggsim.forward.cache_use import cache_use
from aggsim.models.parameters import count_parameters
from aggsim.models.spec import AttentionSpec, GatedDeltaSpec, LayerSpec, MambaSpec, MlaSpec, ModelSpec, MoeSpec
from aggsim.report.format import MISSING, count, number
from aggsim.report.words import mode_words, short_model
from aggsim.scenario_own import is_own, named
from aggsim.units import GIGA, TERA, US_PER_S, gib

__all__ = [
    "attention_words",
    "cache_frame",
    "device_facts",
    "devices_frame",
    "model_facts",
    "models_frame",
    "parameters_frame",
]

BILLION = 1e9
KIB = 1024.0
SHORTEST_CONTEXT, LONGEST_CONTEXT = 128, 1_048_576
NO_ATTENTION = "none"


def models_frame(models: Mapping[str, ModelSpec | UnsupportedModelError]) -> pd.DataFrame:
    """One row a model that can be priced, in the order given.

    Columns: id, model, parameters_b, active_b (billions), attention, kv_kib_per_token (16 bits; layers that keep the
    whole context), layers, experts ("8 of 128"), quantization, context_tokens, unread (fields), source.
    """
    rows = [_model_row(model_id, spec) for model_id, spec in models.items() if isinstance(spec, ModelSpec)]
    return pd.DataFrame(rows)  # of no rows: without columns, so that numbers joined to it stay numbers


def refused_frame(reasons: Mapping[str, str], sources: Mapping[str, str]) -> pd.DataFrame:
    """Entries that cannot be used, both by id. Columns: entry, reason, source."""
    rows = [(name, reason, sources[name]) for name, reason in reasons.items()]
    return pd.DataFrame(rows, columns=["entry", "reason", "source"])


def _model_row(model_id: str, spec: ModelSpec) -> dict[str, object]:
    size = count_parameters(spec)
    moe = _experts(spec)
    return {
        "id": model_id,
        "model": named(model_id),
        "parameters_b": size.total / BILLION,
        "active_b": size.active / BILLION,
        "attention": attention_words(spec),
        "kv_kib_per_token": cache_use(spec).bytes_per_token / KIB,
        "layers": spec.num_layers,
        "experts": f"{moe.experts_per_token} of {moe.num_experts}" if moe else MISSING,
        "quantization": _quantization(spec),
        "context_tokens": spec.max_position_embeddings,
        "unread": len(spec.unread_fields),
        "source": "own" if is_own(model_id) else getattr(spec, "catalog", "") or spec.source,
    }


def _experts(spec: ModelSpec) -> MoeSpec | None:
    parts = (part for layer in spec.layers for part in layer.feed_forward_parts if isinstance(part, MoeSpec))
    return next(parts, None)


def _quantization(spec: ModelSpec) -> str:
    if spec.quantization is None:
        return "16 bit" if spec.dtype_bytes == 2 else f"{8 * spec.dtype_bytes} bit"
    label = spec.quantization
    words = mode_words(label.linear, "16 bit")
    if spec.is_moe and label.experts != label.linear:
        words += f", experts {mode_words(label.experts, '16 bit')}"
    return words


def attention_words(spec: ModelSpec) -> str:
    """Kinds of attention in order of first use: "GQA 64:8", "GQA 64:8 + window 128", "gated delta + GQA 24:4"."""
    kinds = Counter(_kind(layer) for layer in spec.layers)
    kinds.pop(NO_ATTENTION, None)
    return " + ".join(kinds) or NO_ATTENTION


def _kind(layer: LayerSpec) -> str:
    match layer.mixer:
        case AttentionSpec() as mixer:
            limit = f"window {number(mixer.window_tokens)}" if mixer.window_tokens else ""
            limit = limit or (f"chunks of {number(mixer.chunk_tokens)}" if mixer.chunk_tokens else "")
            return " ".join(part for part in (_heads(mixer), limit) if part)
        case MlaSpec() as mixer:
            return "MLA, sparse" if mixer.indexer else "MLA"
        case GatedDeltaSpec():
            return "gated delta"
        case MambaSpec():
            return "Mamba-2"
    return NO_ATTENTION


def _heads(mixer: AttentionSpec) -> str:
    if mixer.num_heads == mixer.num_kv_heads:
        return f"MHA {mixer.num_heads}"
    kind = "MQA" if mixer.num_kv_heads == 1 else "GQA"
    return f"{kind} {mixer.num_heads}:{mixer.num_kv_heads}"


def model_facts(spec: ModelSpec) -> list[tuple[str, str]]:
    """(what, what it is) of one model, for people."""
    size, cache, moe = count_parameters(spec), cache_use(spec), _experts(spec)
    kinds = Counter(_kind(layer) for layer in spec.layers)
    facts = [
        ("Architecture", spec.architecture),
        ("Parameters", f"{_billions(size.total)}, {_billions(size.active)} active for a token"),
        ("Layers", f"{number(spec.num_layers)} of width {number(spec.hidden_size)}"),
        ("Attention", ", ".join(f"{number(times)} × {kind}" for kind, times in kinds.items() if kind != NO_ATTENTION)),
        ("KV cache", _cache_words(cache.bytes_per_token, cache.windows, cache.state_bytes)),
    ]
    if moe:
        shared = f", {number(moe.shared_intermediate_size)} wide shared" if moe.shared_intermediate_size else ""
        facts.append(
            ("Experts", f"{moe.experts_per_token} of {number(moe.num_experts)} for a token, each "
             f"{number(moe.expert_intermediate_size)} wide{shared}")
        )  # fmt: skip
    if spec.num_mtp_layers:
        facts.append(("MTP", f"{count(spec.num_mtp_layers, 'layer')}, {_billions(size.mtp)} more parameters"))
    facts += [
        ("Vocabulary", f"{number(spec.vocab_size)} tokens"),
        ("Context", f"up to {number(spec.max_position_embeddings)} tokens"),
        (
            "Quantization",
            spec.quantization.source if spec.quantization else f"none; {8 * spec.dtype_bytes}-bit weights",
        ),
        ("Source", spec.source),
    ]
    return [(name, text or "none") for name, text in facts]


def _cache_words(rate: float, windows: Sequence[tuple[int, float]], state: float) -> str:
    parts = [f"{number(rate / KIB)} KiB per token"] if rate or not (windows or state) else []
    parts += [f"{number(more / KIB)} KiB per token of the last {number(tokens)}" for tokens, more in windows]
    parts += [f"{number(state / KIB**2)} MiB per request, whatever its length"] if state else []
    return f"{', '.join(parts)} (16 bit, whole model)"


def _billions(numbers: float) -> str:
    return f"{number(numbers / BILLION)} billion" if numbers >= BILLION else f"{number(numbers / 1e6)} million"


def parameters_frame(spec: ModelSpec) -> pd.DataFrame:
    """Where the parameters are. Columns: row (all, active), part, start, end, billions."""
    size = count_parameters(spec)
    parts = {
        "every parameter": {"embeddings": size.embedding + size.head, "dense": size.dense, "experts": size.experts},
        "active for one token": {
            "embeddings": size.embedding + size.head,
            "dense": size.dense,
            "experts": size.active_experts,
        },
    }
    rows = []
    for row, sizes in parts.items():
        start = 0.0
        for part, numbers in sizes.items():
            end = start + numbers / BILLION
            rows.append({"row": row, "part": part, "start": start, "end": end, "billions": end - start})
            start = end
    return pd.DataFrame(rows)


def cache_frame(models: Mapping[str, ModelSpec]) -> pd.DataFrame:
    """KV cache of one request over its context, up to what the model was made for. Columns: model, tokens, gib."""
    rows = []
    for model_id, spec in models.items():
        use, tokens = cache_use(spec), SHORTEST_CONTEXT
        longest = min(max(spec.max_position_embeddings, 2 * SHORTEST_CONTEXT), LONGEST_CONTEXT)
        while tokens <= longest:
            rows.append({"model": short_model(named(model_id)), "tokens": tokens, "gib": gib(use.at(tokens))})
            tokens *= 2
    return pd.DataFrame(rows)


def devices_frame(devices: Mapping[str, DeviceSpec]) -> pd.DataFrame:
    """One row a device, in the order given; rates decimal, capacity binary, NaN where there are no such units.

    Columns: id, device, vendor, memory_gib, bandwidth_tb_s, bf16_tflops, fp8_tflops, int8_tops, fp4_tflops,
    flop_per_byte (BF16 over bandwidth), per_node, node_gb_s, outer_gb_s, source.
    """
    rows = []
    for device_id, spec in devices.items():
        peaks, bandwidth = spec.mma_ops_per_s, spec.memory_bandwidth_bytes_per_s
        outer, inner = spec.links[0], spec.links[-1]
        rows.append(
            {
                "id": device_id,
                "device": named(device_id),
                "vendor": spec.vendor,
                "memory_gib": gib(spec.memory_bytes),
                "bandwidth_tb_s": bandwidth / TERA,
                **{
                    name: peaks[dtype] / TERA if dtype in peaks else float("nan")
                    for name, dtype in (
                        ("bf16_tflops", "bf16"),
                        ("fp8_tflops", "fp8"),
                        ("int8_tops", "int8"),
                        ("fp4_tflops", "fp4"),
                    )
                },
                "flop_per_byte": peaks["bf16"] / bandwidth if "bf16" in peaks else float("nan"),
                "per_node": spec.num_devices_per_node,
                "node_gb_s": inner.bandwidth_bytes_per_s / GIGA,
                "outer_gb_s": outer.bandwidth_bytes_per_s / GIGA if len(spec.links) > 1 else float("nan"),
                "source": " ".join(spec.source.split()),
            }
        )
    return pd.DataFrame(rows)


def device_facts(spec: DeviceSpec) -> list[tuple[str, str]]:
    """(what, what it is) of one device, for people."""

    def peaks(rates: Mapping[str, float]) -> str:
        return ", ".join(f"{dtype.upper()} {number(rate / TERA)}" for dtype, rate in rates.items())

    return [
        ("Vendor", spec.vendor),
        ("Memory", f"{number(gib(spec.memory_bytes))} GiB at {number(spec.memory_bandwidth_bytes_per_s / TERA)} TB/s"),
        ("Matrix units", f"{peaks(spec.mma_ops_per_s)} TFLOP/s, dense (INT8: TOP/s)"),
        ("Vector units", f"{peaks(spec.gp_ops_per_s)} TFLOP/s"),
        (
            "Reachable",
            f"{number(100 * spec.compute_efficiency)}% of compute, "
            f"{number(100 * spec.memory_efficiency)}% of bandwidth",
        ),
        (
            "Static cost",
            f"{number(spec.mma_op_cost_s * US_PER_S)} µs a matrix operator, {number(spec.gp_op_cost_s * US_PER_S)} µs "
            f"a vector one, {number(spec.comm_op_cost_s * US_PER_S)} µs a collective",
        ),
        ("Links", "; ".join(map(_link_words, spec.links))),
        ("Grid", f"up to {number(spec.num_devices_max)} devices, {number(spec.num_devices_per_node)} in a node"),
        ("Source", " ".join(spec.source.split())),
    ]


def _link_words(link: LinkLevel) -> str:
    mesh = ", full mesh" if link.full_mesh else ""
    return (
        f"{number(link.size)} at {number(link.bandwidth_bytes_per_s / GIGA)} GB/s, "
        f"{number(link.latency_s * US_PER_S)} µs, {number(100 * link.efficiency)}%{mesh}"
    )
