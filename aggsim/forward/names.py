"""The one mapping from our kernels to the operators of the original (TensorCast), for goldens and `forward --jsonl`."""

from __future__ import annotations

TENSOR_CAST_NAMES: dict[str, str] = {
    # embedding and head
    "embedding": "aten.embedding.default",
    "table_lookup": "aten.index.Tensor",
    "select_rows": "aten.index.Tensor",
    # norms
    "rms_norm": "tensor_cast.rms_norm.default",
    "add_rms_norm": "tensor_cast.add_rms_norm2.default",
    "rms_norm_quant_dynamic": "tensor_cast.rms_norm_dynamic_quant_symmetric.default",
    "add_rms_norm_quant_dynamic": "tensor_cast.add_rms_norm_dynamic_quant2_symmetric.default",
    "rms_norm_quant_static": "tensor_cast.rms_norm_quant.default",
    "add_rms_norm_quant_static": "tensor_cast.add_rms_norm_quant2.default",
    "rms_norm_quant_mxfp4": "tensor_cast.rms_norm_dynamic_quant_mxfp4.default",
    "add_rms_norm_quant_mxfp4": "tensor_cast.add_rms_norm_dynamic_quant2_mxfp4.default",
    # quantization
    "quantize_dynamic": "tensor_cast.dynamic_quantize_symmetric.default",
    "quantize_static": "tensor_cast.quantize.default",
    "quantize_mxfp4": "tensor_cast.dynamic_quantize_mxfp4.default",
    # matmuls
    "matmul": "aten.mm.default",
    "quant_linear": "tensor_cast.static_quant_linear.default",
    "quant_linear_int4": "tensor_cast.static_quant_linear_int4.default",
    "fp8_linear": "tensor_cast.fp8_linear.default",
    "mxfp4_linear": "tensor_cast.mxfp4_linear.default",
    "grouped_matmul": "tensor_cast.grouped_matmul.default",
    "grouped_matmul_swiglu": "tensor_cast.grouped_matmul_swiglu.default",
    "grouped_quant_linear": "tensor_cast.grouped_matmul_quant.default",
    "grouped_quant_linear_swiglu": "tensor_cast.grouped_matmul_quant_swiglu.default",
    "grouped_quant_linear_int4": "tensor_cast.grouped_matmul_quant_int4.default",
    "grouped_quant_linear_int4_swiglu": "tensor_cast.grouped_matmul_quant_int4_swiglu.default",
    "grouped_fp8_linear": "tensor_cast.grouped_matmul_fp8.default",
    "grouped_fp8_linear_swiglu": "tensor_cast.grouped_matmul_fp8_swiglu.default",
    "grouped_mxfp4_linear": "tensor_cast.grouped_matmul_mxfp4.default",
    "grouped_mxfp4_linear_swiglu_quant": "tensor_cast.grouped_matmul_mxfp4_swiglu_quant.default",
    # attention
    "rope": "tensor_cast.apply_rope.default",
    "cache_write": "tensor_cast.reshape_and_cache.default",
    "attention": "tensor_cast.attention.default",
    "attention_quant": "tensor_cast.attention_quant.default",
    "latent_preprocess": "tensor_cast.mlapo.default",
    "latent_preprocess_quant": "tensor_cast.mlapo_quant.default",
    "latent_cache_write": "tensor_cast.concat_and_cache_mla.default",
    "latent_attention": "tensor_cast.multihead_latent_attention.default",
    "latent_attention_quant": "tensor_cast.multihead_latent_attention_quant.default",
    "sparse_latent_attention": "tensor_cast.mla_sparse_attention.default",
    "sparse_latent_attention_quant": "tensor_cast.mla_sparse_attention_quant.default",
    "indexer": "tensor_cast.dsa_indexer.default",
    # gated delta rule
    "causal_conv": "tensor_cast.linear_attn_causal_conv.default",
    "causal_conv_update": "tensor_cast.linear_attn_causal_conv_update.default",
    "delta_gates": "tensor_cast.linear_attn_fused_gdn_gating.default",
    "delta_rule_chunked": "tensor_cast.linear_attn_chunk_gated_delta_rule.default",
    "delta_rule_recurrent": "tensor_cast.linear_attn_recurrent_gated_delta_rule.default",
    "gated_rms_norm": "tensor_cast.linear_attn_gated_rmsnorm.default",
    # feed-forward
    "swiglu": "tensor_cast.swiglu.default",
    "add": "aten.add.Tensor",
    # mixture of experts
    "convert": "prims.convert_element_type.default",
    "max": "aten.amax.default",
    "subtract": "aten.sub.Tensor",
    "exponential": "aten.exp.default",
    "sigmoid": "aten.sigmoid.default",
    "gather": "aten.gather.default",
    "sum": "aten.sum.dim_IntList",
    "divide": "aten.div.Tensor",
    "multiply": "aten.mul.Tensor",
    "top_k": "aten.topk.default",
    "gating": "tensor_cast.moe_gating_top_k_softmax.default",
    "permute": "tensor_cast.init_routing_v2.default",
    "unpermute": "tensor_cast.unpermute_tokens.default",
    "concatenate": "aten.cat.default",
    "concatenate_grouped": "tensor_cast.cat.default",
    "pad": "aten.constant_pad_nd.default",
    "copy": "aten.copy.default",
    # multi-token prediction
    "argmax": "aten.argmax.default",
    "transfer_ids": "prims.device_put.default",
    "scatter": "aten.select_scatter.default",
    "shift_ids": "tensor_cast.shift_and_update_input_ids.default",
    "batched_matmul": "aten.bmm.default",
    "clone": "aten.clone.default",
    "cosine": "aten.cos.default",
    "sine": "aten.sin.default",
    # collectives
    "all_reduce": "tensor_cast.all_reduce.default",
    "all_gather": "tensor_cast.all_gather.default",
    "reduce_scatter": "tensor_cast.reduce_scatter.default",
    "all_to_all": "tensor_cast.all_to_all.default",
    "send": "tensor_cast.pipeline_send_recv.default",
}
"""Kernels the original has no operator for keep their own name."""


def tensor_cast_name(kernel: str) -> str:
    """The original's name of a kernel of ours."""
    return TENSOR_CAST_NAMES.get(kernel, kernel)
