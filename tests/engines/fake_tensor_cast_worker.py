"""Speaks the protocol of tensor_cast_worker.py without TensorCast. HOME/behaviour says how, HOME/pids lists who ran."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

HOME = Path(sys.argv[1])
VERSIONS = {
    "protocol": 1,
    "commit": "0123456789abcdef0123",
    "source": "feedface",
    "torch": (HOME / "torch").read_text() if (HOME / "torch").exists() else "2.9.1",
    "transformers": "5.13.1",
    "python": "3.11.7",
}


def say(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def behaves(how: str) -> bool:
    file = HOME / "behaviour"
    return file.exists() and file.read_text() == how


def cost(batch: list[dict[str, Any]], reserved_gib: float) -> dict[str, Any]:
    """Sums of the groups, so that a test can tell the answers apart."""
    tokens = sum(group["num_requests"] * group["query_len"] for group in batch)
    context = sum(group["num_requests"] * group["seq_len"] for group in batch)
    return {
        "latency_s": tokens * 1e-4,
        "memory_gib": {
            "weight": 5.0,
            "kv_cache": context * 1e-5,
            "activation": 1.0,
            "reserved": reserved_gib,
            "available": 58.0 - context * 1e-5 - reserved_gib,
            "total": 64.0,
        },
        "bound_s": {"memory": tokens * 6e-5, "communication": 0.0, "mma": tokens * 4e-5, "gp": 0.0},
        "ops": [
            ["tensor_cast.attention.default", 64, tokens * 6e-5, "memory"],
            ["aten.index.Tensor", 3, tokens * 3e-5, "mma"],
            ["tensor_cast.brand_new.default", 1, tokens * 1e-5, "mma"],
        ],
    }


def answer(number: int, request: dict[str, Any]) -> None:
    if "bind" in request:
        if behaves("refuse to bind"):
            say(id=number, error="ValueError: no such model")
        else:
            say(id=number, bound=True)
    elif behaves("hang"):
        time.sleep(60)
    elif behaves("die"):
        print("Traceback (most recent call last):\nValueError: nobody expected this", file=sys.stderr, flush=True)
        os._exit(3)
    elif behaves("be killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    elif behaves("garbage"):
        print("Segmentation fault?", flush=True)
    elif behaves("garbage that is JSON"):
        print("[1, 2]", flush=True)
    elif behaves("answer somebody else"):
        say(id=number + 1, cost={})
    elif behaves("no price"):
        say(id=number, cost={"latency_s": 1.0})
    elif behaves("not a number"):
        say(id=number, cost=cost(request["price"][0], 0) | {"latency_s": float("nan")})
    elif behaves("error at the second"):
        say(id=number, cost=cost(request["price"][0], 0))
        say(id=number, error="RuntimeError: cannot be compiled")
    else:
        if behaves("talk"):
            for _ in range(20_000):
                print("No op properties function defined, assuming it is memory-bandwidth bound.", file=sys.stderr)
        for batch in request["price"]:
            say(id=number, cost=cost(batch, request["reserved_gib"]))


def main() -> None:
    if len(sys.argv) == 2:
        (HOME / "probes").open("a").write("1")
        say(**VERSIONS)
        return
    with (HOME / "pids").open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    if behaves("never be ready"):
        time.sleep(60)
    say(hello=VERSIONS | ({"commit": "another"} if behaves("be another version") else {}))
    for line in sys.stdin:
        request = json.loads(line)
        answer(request.pop("id"), request)


if __name__ == "__main__":
    main()
