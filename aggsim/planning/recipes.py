"""How the measured servers were started: what the measurements' own labels do not say.

The public InferenceX repository keeps the launch script of every benchmark. Facts read from the scripts of the months
of measurement: the number format of the KV cache, the token budget of a step, how long new requests are held back, and
that prompts and outputs are drawn evenly from 80% to 100% of the nominal length. Rows of other origin had fixed lengths
and the framework's defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["INFERENCEX_LENGTH_SPREAD", "Recipe", "recipe_of"]

INFERENCEX_LENGTH_SPREAD = 0.2
"""Lengths are uniform from 1 − this to 1 times the nominal one (random-range-ratio 0.8 of its client)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a launch script sets."""

    attention: str
    """Number format of the KV cache, a label of ATTENTION_MODES."""
    budget_tokens: int
    """Most tokens of one step."""
    delay_steps: float
    """Decode steps that a request waits on average before the scheduler looks at it."""


_FP8_CACHE = frozenset(
    {
        ("Llama-3.1-70B", "vllm"),
        ("Llama-3.1-70B", "trtllm"),
        ("DeepSeek-R1", "trtllm"),
        ("DeepSeek-V3", "trtllm"),
        ("DeepSeek-R1", "sglang", "b200_sxm"),
        ("DeepSeek-V3", "sglang", "b200_sxm"),
        ("DeepSeek-R1", "sglang", "b300_sxm"),
        ("DeepSeek-V3", "sglang", "b300_sxm"),
        ("gpt-oss-120b", "trtllm", "b200_sxm"),
        ("MiniMax-M2.5", "vllm", "b200_sxm"),
        ("MiniMax-M2.5", "vllm", "b300_sxm"),
        ("GLM-5", "sglang", "b200_sxm"),
        ("GLM-5", "sglang", "b300_sxm"),
        ("Qwen3.5-397B-A17B", "sglang"),
    }
)
"""(model, framework[, system]) whose scripts set an FP8 KV cache; checkpoints in BF16 keep theirs in BF16."""

_BUDGET = {"vllm": 8192, "sglang": 16384, "trtllm": 8192}
_TRTLLM_BUDGET = {"Llama-3.1-70B": 16384, "gpt-oss-120b": 20000}


_POLLED = frozenset({"Qwen3.5-397B-A17B", "DeepSeek-R1", "DeepSeek-V3"})
"""Models whose scripts for SGLang on Blackwell set scheduler-recv-interval: new requests are looked for once in 10
decode steps, in 30 from 16 users on."""
_HELD_STEPS = 20
"""batch_wait_timeout_iters of Llama 70B under TensorRT-LLM, 1,024 in and out on fewer than 8 devices: prompts wait so
many steps for company."""


def recipe_of(
    *,
    model: str,
    backend: str,
    system: str,
    precision: str,
    input_tokens: int,
    output_tokens: int,
    tp: int,
    users: int,
) -> Recipe:
    """model: without its organisation; users: of all replicas."""
    wide = precision == "bf16" or ((model, backend) not in _FP8_CACHE and (model, backend, system) not in _FP8_CACHE)
    own = model.endswith("NVFP4")
    budget = _BUDGET[backend]
    blackwell = system in ("b200_sxm", "b300_sxm")
    if backend == "trtllm":
        budget = _TRTLLM_BUDGET.get(model, max(budget, input_tokens))
    elif model == "MiniMax-M2.5" and blackwell:
        budget = 2 * input_tokens
    elif backend == "sglang" and blackwell and (model == "GLM-5" or (model in _POLLED and precision != "fp4")):
        budget = 32768
    delay = 0.0
    if backend == "sglang" and blackwell and model in _POLLED:
        delay = (30 if users >= 16 and (tp == 8 or model == "Qwen3.5-397B-A17B") else 10) / 2
    elif (model, backend) == ("Llama-3.1-70B", "trtllm") and input_tokens == output_tokens == 1024 and tp < 8:
        # Whoever comes while another waits, waits for what is left of it.
        delay = _HELD_STEPS / (1 + users * _HELD_STEPS / output_tokens / 2)
    return Recipe(attention="fp8" if own or not wide else "none", budget_tokens=budget, delay_steps=delay)
