"""Rows of the table of parameters: requests that arrive one by one, and how a replica serves them."""

from __future__ import annotations

from typing import Any, Final

from aggsim.parameters_choices import ARRIVALS, MIXED_NAMES, PERCENTILES

__all__ = ["LOAD_ROWS", "USED_BY", "is_used"]

USED_BY: Final[dict[str, tuple[str, ...]]] = {
    "users": ("closed",),
    "rate": ("open",),
    "cv": ("open",),
    "trace": ("trace",),
    "length_spread": ("closed", "open"),
    "max_num_seqs": ARRIVALS[1:],
    "kv_block": ARRIVALS[1:],
    "mixed": ARRIVALS[1:],
    "percentile": ARRIVALS[1:],
    "seeds": ARRIVALS[1:],
}
"""Which arrivals look at a field; the others leave it alone. `arrival` itself always counts."""


def is_used(key: str, arrival: str) -> bool:
    """False: this kind of arrival does not look at that field."""
    return arrival in USED_BY.get(key, (arrival,))


# fmt: off
def _row(key: str, kind: str, label: str, default: Any, text: str, **rest: Any) -> dict[str, Any]:
    return {"key": key, "kind": kind, "group": "Arrivals", "label": label, "default": default, "help": text, **rest}


LOAD_ROWS: Final = (
    _row("arrival", "choice", "Arrival of requests", "burst",
         "burst: all at once, the original's closed formula. closed: users who each send the next request when the "
         "last one ends, as benchmarks do. open: requests that come by themselves at a rate. trace: a list of requests "
         "with their times. All but burst are simulated step by step.", choices=ARRIVALS),
    _row("users", "whole", "Users", None,
         "Closed loop: requests in flight over the whole deployment; each user sends the next one when the last ends.",
         minimum=1, maximum=1_000_000, unit="at a time",
         none_word="auto", none_help="batch · DP · PP; without a batch size, the most within the limits"),
    _row("rate", "number", "Request rate", None,
         "Open loop: requests per second over the whole deployment, dealt to its replicas in turn.",
         maximum=1e6, above_minimum=True, unit="per s",
         none_word="auto", none_help="the highest within the limits"),
    _row("cv", "number", "Burstiness", 1.0,
         "Open loop: standard deviation ÷ mean of the time between requests. 1 is a Poisson process, 0 an even beat, "
         "more comes in bursts (gamma).", maximum=10, unit="CV"),
    _row("trace", "trace", "Trace", None,
         "Requests with arrival time, input and output length: uploaded as a CSV and named by its content, or a few "
         "spelled out.", none_word="none", none_help="no trace"),
    _row("length_spread", "spread", "Spread of lengths", "fixed",
         "How input and output lengths vary from request to request. uniform:0.2 goes from 80% to 100% of the asked "
         "lengths, as benchmarks do; lognormal:0.5 has long ones too; table: names bins with weights."),
    _row("max_num_seqs", "whole", "Seats", None,
         "Most requests that one replica holds at once; the others wait in its queue.",
         minimum=1, maximum=100_000, unit="requests per replica",
         none_word="auto", none_help="the batch size (· PP) where one is given; else 256, or one for each user"),
    _row("kv_block", "whole", "KV block", None,
         "The KV cache is handed out in blocks of so many tokens.", minimum=1, maximum=4096, unit="tokens",
         none_word="auto", none_help="128 on Ascend, 16 elsewhere"),
    _row("mixed", "choice", "Mixed steps", "fused",
         "What a step with prefill and decode costs. fused: one batch, as engines run it. max: two passes that "
         "overlap fully. sum: one after the other.", choices=MIXED_NAMES),
    _row("percentile", "choice", "Limits hold for", "mean",
         "What of TTFT and TPOT has to meet the limits: the mean over requests, or so many percent of them.",
         choices=PERCENTILES),
    _row("seeds", "whole", "Seeds", 5,
         "Simulations with different random arrivals and lengths, always the same ones; their spread says how sure "
         "the figures are.", minimum=1, maximum=20, unit="runs"),
)
