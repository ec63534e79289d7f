"""Every term on the pages, one plain sentence each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["GLOSSARY", "Term", "find_terms"]


@dataclass(frozen=True, slots=True)
class Term:
    """One word of the field. `full` spells an abbreviation out."""

    name: str
    meaning: str
    full: str = ""


GLOSSARY: Final[tuple[Term, ...]] = tuple(
    sorted(
        (
            Term("TTFT", "Time from a request's arrival to its first output token, waiting included.",
                 "time to first token"),
            Term("TPOT incl. TTFT", "A request's whole time, waiting for prefill included, divided by its output "
                 "tokens.", "time per output token, wave"),
            Term("TPOT after first token", "Time from the first to the last token, divided by the tokens after the "
                 "first.", "time per output token, stepped"),
            Term("ITL", "Time between two tokens of one request; its mean is TPOT after first token.",
                 "inter-token latency"),
            Term("End-to-end latency", "Time from a request's arrival to its last token."),
            Term("Throughput", "Output tokens a second over the whole deployment; prompt tokens are counted apart."),
            Term("Output per device", "Output tokens a second divided by all devices, so that deployments of "
                 "different size compare."),
            Term("Goodput", "Requests a second that meet every latency limit."),
            Term("SLO", "The limits on latency that an answer must meet, here on TTFT and TPOT.",
                 "service level objective"),
            Term("Batch size", "Requests that one replica serves at once."),
            Term("Concurrency", "Requests in flight over the whole deployment: batch size · DP · PP."),
            Term("Burst", "All requests of a run arrive at the same moment."),
            Term("Closed loop", "A fixed number of users who each send the next request when the last one ends."),
            Term("Open loop", "Requests come by themselves at a rate, however long the answers take."),
            Term("Burstiness", "Standard deviation divided by mean of the time between requests; 1 is a Poisson "
                 "process.",
                 "CV, coefficient of variation"),
            Term("Percentile", "P99 is the smallest value that 99% of the requests do not exceed."),
            Term("Seat", "A place for one request in the running batch of a replica; without one it waits in the "
                 "queue."),
            Term("KV block", "The piece, of so many tokens, in which KV cache is handed out to requests."),
            Term("Preemption", "A request gives up its KV blocks for others and is computed again later."),
            Term("Saturation", "More requests come than can be served, so the queue grows as long as they do."),
            Term("Warm-up", "The beginning of a simulation, before the state is steady; it is not measured."),
            Term("Prefill", "The passes that read a prompt and fill its KV cache; the last one makes the first token."),
            Term("Decode", "The passes that make the tokens after the first, one pass for each token of a request."),
            Term("Forward pass", "One trip of a batch through all layers of the model."),
            Term("Aggregated serving", "Prefill and decode share the same devices; the opposite is disaggregated "
                 "serving."),
            Term("Wave", "As many whole prompts as one step's token budget holds, prefilled together."),
            Term("Step", "One turn of the scheduler: it picks who prefills and who decodes, and both passes run."),
            Term("Scheduler", "The rule that picks which requests run in the next step."),
            Term("Continuous batching", "Requests join and leave a running batch at every step, instead of waiting "
                 "for the whole batch to finish."),
            Term("Token budget", "Most tokens that one replica takes into one step (max_batched_tokens)."),
            Term("Chunked prefill", "A prompt longer than the token budget is read in pieces, over several steps."),
            Term("Chunk plan", "How one prompt is cut into prefill pieces under the token budget."),
            Term("Prefix cache", "KV cache kept from earlier requests: the part of a prompt that it already holds "
                 "needs no prefill."),
            Term("KV cache", "Keys and values of all tokens so far, kept in device memory so that decode does not "
                 "compute them again."),
            Term("Context", "All tokens that a request's attention looks back on: its prompt and its output so far."),
            Term("Activations", "Intermediate results of a pass; their peak counts against device memory."),
            Term("Weights", "The model's trained numbers, held in device memory all the time."),
            Term("Reserved memory", "Memory of each device that the serving software keeps for itself."),
            Term("TP", "Several devices share the matrices of every layer and combine their results inside it.",
                 "tensor parallel"),
            Term("DP", "Several copies of the model serve different requests side by side.", "data parallel"),
            Term("PP", "The layers are cut into stages that sit on different devices.", "pipeline parallel"),
            Term("EP", "The routed experts are spread over devices, and tokens travel to theirs.", "expert parallel"),
            Term("MoE-TP", "Devices that share the matrices of each routed expert.",
                 "tensor parallel inside the experts"),
            Term("MoE-DP", "Copies of the routed experts.", "data parallel of the experts"),
            Term("Replica", "One copy of the model with all the devices that it needs."),
            Term("MoE", "Layers with many feed-forward blocks, of which each token uses only a few.",
                 "mixture of experts"),
            Term("Active parameters", "The weights that one token touches: in a mixture of experts far fewer than "
                 "the total."),
            Term("Shared expert", "A feed-forward block that every token uses, beside the routed ones."),
            Term("MLA", "Attention that caches one small latent vector a token instead of keys and values of every "
                 "head.", "multi-head latent attention"),
            Term("GQA", "Attention in which several query heads share one key and value head, for a smaller KV cache.",
                 "grouped-query attention"),
            Term("Sliding window", "Attention that looks back on a fixed number of tokens only."),
            Term("Sparse attention", "Attention that looks back on the tokens that an indexer picks."),
            Term("Linear attention", "Layers that keep a state of constant size instead of a growing KV cache."),
            Term("MTP", "Small extra layers draft the next tokens, and one pass checks them all at once.",
                 "multi-token prediction"),
            Term("Acceptance rate", "Share of drafted tokens that the check keeps."),
            Term("Quantization", "Numbers stored, and often multiplied, in fewer bits."),
            Term("W8A8, W4A8, W8A16", "Bits of the weights (W) and of the activations (A) in a matrix product."),
            Term("FP8, MXFP4, NVFP4", "Floating-point formats of 8 and 4 bits; the 4-bit ones share a scale a block."),
            Term("FLOP", "One addition or multiplication; a matrix product of M×K by K×N takes 2·M·K·N of them.",
                 "operation"),
            Term("Arithmetic intensity", "Operations done for each byte moved to or from device memory."),
            Term("Roofline", "The fastest a device can run an operator of some intensity: up to the ridge memory "
                 "bandwidth limits it, beyond the ridge the matrix units do."),
            Term("Ridge", "The intensity at which a device needs all of its bandwidth and all of its compute."),
            Term("Memory-bound", "Waiting for device memory takes longer than the arithmetic."),
            Term("Compute-bound", "The arithmetic takes longer than moving the data."),
            Term("Matrix units", "The part of a device that multiplies matrices (tensor cores, cube units)."),
            Term("Vector units", "The part of a device that does everything element by element."),
            Term("Efficiency", "Share of a peak rate that real operators reach; one number for compute, one for "
                 "memory."),
            Term("Launch cost", "Fixed time that starting an operator takes, however little it does."),
            Term("Operator", "One kernel of a pass, such as a matrix product, attention or a norm."),
            Term("Collective", "An operator in which devices exchange data: all-reduce, all-gather, reduce-scatter, "
                 "all-to-all."),
            Term("Verdict", "Whether the answer fits in memory and meets the limits, and what stops it if not."),
            Term("Source", "Where a number comes from: measured, interpolated between measurements, computed (by a "
                 "formula, from the device's rates) or fitted."),
            Term("Engine", "Who prices a forward pass: measured tables, our roofline, the original program, or a law "
                 "of your own."),
            Term("Measured backend", "The serving software whose measured operator tables count: vLLM, SGLang or "
                 "TensorRT-LLM."),
            Term("Law", "Step time and memory as a formula fitted to your own benchmark; it takes the place of an "
                 "engine."),
            Term("Timing", "How a run is worked out: a closed formula for one wave, or every step simulated."),
            Term("Rule set", "Which version of the original's arithmetic answers: today's, or the first one."),
            Term("Workload preset", "Lengths, prefix cache and limits that are typical of a use, to start from."),
            Term("Prompt tokens per second", "Prompt tokens taken in by the whole deployment, those from the prefix "
                 "cache included."),
            Term("Requests per second", "Finished requests of the whole deployment."),
            Term("Memory left", "What a device has free in the tightest pass; less is free at the last token."),
            Term("Load", "What a deployment must carry: output tokens or requests per second, within the limits."),
            Term("Utilization", "Load divided by what the deployment carries within the limits."),
            Term("Headroom", "Share of the load that could come on top; negative: what is missing."),
            Term("N+1", "One spare replica more than the load needs: losing one still leaves enough.",
                 "one spare"),
            Term("Trace", "The steps of a run in a format that timeline viewers such as Perfetto open."),
            Term("Pareto frontier", "The answers that no other one beats on both axes."),
        ),
        key=lambda term: term.name.casefold(),
    )
)  # fmt: skip


def find_terms(text: str) -> tuple[Term, ...]:
    """Terms that contain every word of `text`, upper or lower case, those named so first; all for an empty text."""
    words = text.casefold().split()
    found = [
        term for term in GLOSSARY if all(word in f"{term.name} {term.full} {term.meaning}".casefold() for word in words)
    ]
    return tuple(sorted(found, key=lambda term: not all(word in term.name.casefold() for word in words)))
