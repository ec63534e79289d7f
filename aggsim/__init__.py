"""aggsim: capacity planning for aggregated LLM serving (prefill and decode on the same instances)."""

__version__ = "0.1.0"
