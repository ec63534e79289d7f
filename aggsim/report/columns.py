"""What the columns of the tables on screen mean, one plain sentence each; the same words for a column everywhere."""

from __future__ import annotations

from typing import Final

__all__ = ["HELP"]

_RATE = "over the whole deployment"

HELP: Final[dict[str, str]] = {
    # The exported row.
    "mark": "✓: the answer shown above.",
    "device_name": "The accelerator, by its id in the catalog.",
    "num_devices": "All devices of the deployment.",
    "model_id": "The model, by its id in the catalog.",
    "quantize_linear_action": "Number format of the linear layers.",
    "quantize_attention_action": "Number format of the KV cache.",
    "input_length": "Tokens of one prompt.",
    "output_length": "Tokens generated for one request.",
    "effective_input_length": "Prompt tokens that need prefill: what the prefix cache does not hold.",
    "max_batched_tokens": "Most tokens that one replica takes into one scheduler step.",
    "prefill_num_chunks": "Pieces that one prompt is cut into.",
    "concurrency": "Requests in flight over the whole deployment: batch size · DP · PP.",
    "ttft": "Mean time to first token (ms).",
    "tpot": "Mean time per output token (ms).",
    "token/s": f"Output tokens per second, {_RATE}.",
    "token/s/device": "Output tokens per second, divided by all devices.",
    "parallel": "How the model is cut: tensor, pipeline, data and expert parallel.",
    "batch_size": "Requests that one replica serves at once.",
    "percentage_breakdowns(p)": "What bounds the prefill pass: percent of memory, communication, matrix and vector.",
    "percentage_breakdowns(d)": "What bounds the decode pass: percent of memory, communication, matrix and vector.",
    "requests/s": f"Finished requests per second, {_RATE}.",
    "prompt tokens/s": f"Prompt tokens per second, cached ones included, {_RATE}.",
    "asked requests/s": f"Requests that arrive per second, {_RATE}.",
    "stopped_by": "The limit that this batch size breaks; empty: none.",
    # The steps of the scheduler.
    "step": "Number of the first step of this row.",
    "steps": "Equal steps in a row.",
    "kind": "Whether the step prefills, decodes, or both (mixed).",
    "start_ms": "When the first of them starts, after the burst has arrived (ms).",
    "end_ms": "When the last of them ends (ms).",
    "step_ms": "Length of one of them (ms).",
    "prefill_requests": "Requests that prefill in such a step.",
    "chunk": "Which piece of their prompts that is; 0: none.",
    "query_len": "New tokens of one of those requests.",
    "decode_requests": "Requests that decode in such a step.",
    "pending": "Requests of the front group: what the scheduler sees.",
    "waiting": "Requests that wait for prefill.",
    "ready": "Requests that could decode.",
    "prefill_ms": "Length of the prefill pass alone (ms).",
    "decode_ms": "Length of the decode pass alone (ms).",
    # Operators.
    "operator": "One kernel of the pass, such as a matrix product, attention or a norm.",
    "share": "Its part of the pass.",
    "ms": "Time of all its calls in one pass (ms).",
    "calls": "How often it runs in one pass.",
    "us_per_call": "Time of one call (µs).",
    "bound": "What takes longest: memory, communication, matrix or vector units.",
    "flop_per_byte": "Arithmetic intensity: operations for each byte of memory traffic.",
    "tflop_per_s": "Achieved rate: operations over time.",
    "matrix_tflop": "Operations on matrix units, all calls.",
    "vector_tflop": "Operations on vector units, all calls.",
    "memory_gb": "Bytes read and written, all calls.",
    "exchanged_gb": "What collectives are given, all calls.",
    "source": "Where the time comes from: measured, interpolated, analytic or fitted.",
    # Searches.
    "rank": "Place in the order of output tokens/s, per device where their numbers differ.",
    "layout": "How the model is cut over the devices; what is 1 goes without saying.",
    "ttft_ms": "Mean time to first token.",
    "tpot_ms": "Mean time per output token.",
    "tokens_per_s": f"Output tokens per second, {_RATE}.",
    "per_device": "Output tokens per second, divided by all devices.",
    "prompt_tokens_per_s": f"Prompt tokens per second, cached ones included, {_RATE}.",
    "requests_per_s": f"Finished requests per second, {_RATE}.",
    "behind": "Distance to the best layout, in percent.",
    "batch": "Requests that one replica serves at once.",
    "memory_left_gib": "Free memory per device in the tightest priced pass.",
    "reason": "Why there is no answer.",
    "deployment": "Number and kind of devices.",
    # A deployment with a replica lost.
    "case": "The whole load falls on these replicas.",
    "replicas": "Copies of the layout that are at work.",
    "devices": "Devices of those replicas.",
    "carried": "Whether they carry the load within the limits.",
    "headroom": "Share of the load that could come on top; negative: what is missing.",
    "tokens_per_s_each": "Output tokens per second that one replica has to make.",
    "prompt_tokens_per_s_each": "Prompt tokens per second that one replica has to take in.",
    "requests_per_s_each": "Requests per second that one replica has to finish.",
    "limits": "What running at that batch size means for the limits.",
}
"""Column of a frame of this package → help."""
