"""What a layer keeps of every request between passes: keys and values, latents and index keys, or a state."""

from __future__ import annotations

from aggsim.forward.attention import local_kv_heads
from aggsim.forward.deployment import Deployment
from aggsim.forward.form import REQUESTS, Form, kv_blocks
from aggsim.forward.indexer import key_bytes
from aggsim.forward.recurrent import state_bytes
from aggsim.forward.trace import DTYPE_BYTES
from aggsim.models.spec import AttentionSpec, Mixer, MlaSpec

KV_BLOCK_TOKENS = 128
"""Tokens of one KV-cache block; the replica's contexts are kept in whole blocks."""


def cache_bytes(mixer: Mixer | None, deployment: Deployment) -> Form:
    """Bytes on one rank, for one layer: every context and a token to come, in whole blocks; of a window or chunk, only
    the tokens it can show. A state does not grow with the context."""
    element = DTYPE_BYTES[deployment.cache_dtype]
    match mixer:
        case None:
            return Form()
        case AttentionSpec():
            heads = local_kv_heads(mixer.num_kv_heads, deployment.tp)
            per_token = heads * (mixer.head_dim + mixer.v_head_dim) * element
            return _blocks(per_token, mixer.window_tokens or mixer.chunk_tokens or 0)
        case MlaSpec():
            per_token = (mixer.kv_lora_rank + mixer.qk_rope_head_dim) * element
            return _blocks(per_token + (key_bytes(mixer.indexer, deployment) if mixer.indexer else 0.0))
        case _:
            return REQUESTS * state_bytes(mixer, deployment)


def _blocks(bytes_per_token: float, max_tokens: int = 0) -> Form:
    return kv_blocks(KV_BLOCK_TOKENS, max_tokens) * (KV_BLOCK_TOKENS * bytes_per_token)
