"""Runs in TensorCast's own Python, on a checkout of Ascend/msmodeling; standalone: it imports nothing of aggsim.

    python tensor_cast_worker.py HOME               print the versions and end, without importing anything heavy
    python tensor_cast_worker.py HOME MEMORY_GIB    answer requests until standard input ends

One JSON object a line, on the pipes it was started with; whatever else is printed here goes to standard error.

    → {"hello": {"protocol", "commit", "source", "torch", "transformers", "python"}}       once, when it is ready
    ← {"id": 1, "bind": {"model", "config", "device", …}}        the one deployment this process is for
    → {"id": 1, "bound": true}
    ← {"id": 2, "price": [[{"num_requests", "query_len", "seq_len", "is_decode"}, …], …], "reserved_gib": 0}
    → {"id": 2, "cost": {"latency_s", "memory_gib", "bound_s", "ops"}}                     one for each batch, in order
    → {"id": 2, "error": "why"}                                                            instead of any answer

The end of input means shut down: at once, also in the middle of a pass, so no worker outlives its parent.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

PROTOCOL = 1
SOURCES = (".py", ".json", ".yaml")
ANSWERED = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError),
    *(OSError, RuntimeError, TypeError, ValueError),
)
"""What a model or a shape that TensorCast cannot do raises there; after anything else this process ends."""
MAX_MESSAGE = 300
TOO_LITTLE_MEMORY = "it needs more than the {:g} GiB that AGGSIM_TENSOR_CAST_MEMORY_GIB allows it"
BOUNDS = {
    "memory_bound": "memory",
    "communication_bound": "communication",
    "compute_bound_mma": "mma",
    "compute_bound_gp": "gp",
}


def versions(home: str) -> dict[str, Any]:
    """What a price depends on besides the question. source: digest of TensorCast's files, edited or not."""
    return {
        "protocol": PROTOCOL,
        "commit": _commit(Path(home)),
        "source": _source_digest(Path(home) / "tensor_cast"),
        "torch": _installed("torch"),
        "transformers": _installed("transformers"),
        "python": platform.python_version(),
    }


def _commit(home: Path) -> str:
    """Of the checkout; empty where it is none, or where there is no git to ask."""
    command = ["git", "--git-dir", str(home / ".git"), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _source_digest(package: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in package.rglob("*") if path.suffix in SOURCES):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:8]


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def limit_memory(gib: float) -> None:
    """Address space of this process, where the system can limit it."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (int(gib * 2**30), resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (ImportError, ValueError, OSError) as error:
        sys.stderr.write(f"memory is not limited: {error}\n")


class Deployment:
    """One model on one device in one layout, built once."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        from tensor_cast.core.model_runner import ModelRunner
        from tensor_cast.core.quantization.datatypes import QuantizeAttentionAction, QuantizeLinearAction
        from tensor_cast.core.user_config import UserInputConfig

        with tempfile.TemporaryDirectory(prefix="aggsim-model-") as parent:
            # TensorCast goes by the folder's name here and there, so it is the model's
            folder = Path(os.path.realpath(parent), wanted["model"].replace("/", "--"))
            folder.mkdir(mode=0o700)
            (folder / "config.json").write_text(json.dumps(without_code(wanted["config"])))
            self._runner = ModelRunner(
                UserInputConfig(
                    device=wanted["device"],
                    model_id=str(folder),
                    do_compile=True,
                    quantize_linear_action=QuantizeLinearAction(wanted["linear"]),
                    quantize_non_expert_linear_action=QuantizeLinearAction(wanted["non_expert_linear"]),
                    quantize_attention_action=QuantizeAttentionAction(wanted["attention"]),
                    num_mtp_tokens=wanted["num_mtp_tokens"],
                    world_size=wanted["tp"] * wanted["dp"] * wanted["pp"],
                    tp_size=wanted["tp"],
                    dp_size=wanted["dp"],
                    pp_size=wanted["pp"],
                    ep_size=wanted["ep"],
                    moe_tp_size=wanted["moe_tp"],
                    moe_dp_size=wanted["moe_dp"],
                )
            )
        self._dp = wanted["dp"]
        self._weight_gib = self._runner.model_weight_size_gb

    def cost(self, batch: list[dict[str, Any]], reserved_gib: float) -> dict[str, Any]:
        """The answer to one batch of groups, whatever was asked before."""
        from tensor_cast.core.input_generator import RequestInfo, generate_inputs, generate_inputs_varlen

        forget_last_pass()
        self._runner.user_input.reserved_memory_gb = reserved_gib
        self._runner.model_weight_size_gb = self._weight_gib  # it takes a vision tower off anew in every pass
        shapes = [{name: group[name] for name in ("query_len", "seq_len", "is_decode")} for group in batch]
        if len(batch) == 1:
            requests, generate = [RequestInfo(**shapes[0], concurrency=batch[0]["num_requests"])], generate_inputs
        else:  # the requests of one replica, one by one
            counts = [-(-group["num_requests"] // self._dp) for group in batch]
            requests = [RequestInfo(**shape) for shape, n in zip(shapes, counts, strict=True) for _ in range(n)]
            generate = generate_inputs_varlen
        runtimes: list[Any] = []  # one, or one for each pipeline stage and transfer
        result = self._runner.run_inference(requests, generate_inputs_func=generate, runtime_observer=runtimes.append)
        return {
            "latency_s": result.execution_time_s["analytic"],
            "memory_gib": {
                "weight": result.model_weight_size_gb,
                "kv_cache": result.kv_cache_size_gb,
                "activation": result.model_activation_size_gb,
                "reserved": result.reserved_memory_gb,
                "available": result.device_memory_available_gb,
                "total": result.total_device_memory_gb,
            },
            "bound_s": {
                ours: sum(runtime.get_breakdowns()["analytic_OpBound"][theirs] for runtime in runtimes)
                for theirs, ours in BOUNDS.items()
            },
            "ops": operators(event for runtime in runtimes for event in runtime.event_list),
        }


def forget_last_pass() -> None:
    """Compiled graphs, which pile up, and what the memory tracker holds equal: it goes by id(), and ids come again."""
    import torch._dynamo

    torch._dynamo.reset()
    with contextlib.suppress(ImportError, AttributeError):  # another commit may do without
        from tensor_cast.performance_model.op_invoke_info import Region

        Region.equivalent_tensor_id_manager = type(Region.equivalent_tensor_id_manager)()
        Region.root_region_id_to_reference_count.clear()
        Region.region_id_to_root_region_id.clear()


def operators(events: Any) -> list[list[Any]]:
    """[name, calls, seconds, what bounds most of them]; operators that take no time are left out."""
    from tensor_cast.performance_model.bound_analyzer import BoundAnalyzer

    found: dict[str, tuple[int, dict[str, float]]] = {}
    for event in events:
        name, result = str(event.op_invoke_info.func), event.perf_results["analytic"]
        calls, seconds = found.get(name, (0, {}))
        bound = BOUNDS.get(str(BoundAnalyzer.dominant(result)), "unknown")
        seconds[bound] = seconds.get(bound, 0.0) + result.execution_time_s
        found[name] = calls + 1, seconds
    return [
        [name, calls, sum(seconds.values()), max(seconds, key=seconds.__getitem__)]
        for name, (calls, seconds) in found.items()
        if any(seconds.values())
    ]


def without_code(config: Any) -> Any:
    """The configuration without its pointers to code on the hub."""
    if isinstance(config, dict):
        return {key: without_code(value) for key, value in config.items() if key != "auto_map"}
    return config


def send(replies: IO[str], **reply: Any) -> None:
    """One line."""
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


def serve(requests: queue.SimpleQueue[str], replies: IO[str], memory_gib: float) -> None:
    """Answer requests for ever; the thread that reads them ends this process."""
    deployment: Deployment | None = None
    while True:
        request = json.loads(requests.get())
        reply = functools.partial(send, replies, id=request["id"])
        try:
            if "bind" in request:
                deployment = Deployment(request["bind"])
                reply(bound=True)
            elif deployment is None:
                reply(error="nothing is bound yet")
            else:
                for batch in request["price"]:
                    reply(cost=deployment.cost(batch, request["reserved_gib"]))
        except MemoryError:
            reply(error=TOO_LITTLE_MEMORY.format(memory_gib))
        except ANSWERED as error:
            first_paragraph = " ".join(str(error).strip().partition("\n\n")[0].split())
            reply(error=f"{type(error).__name__}: {first_paragraph}"[:MAX_MESSAGE])


def read_requests(stream: IO[str], requests: queue.SimpleQueue[str]) -> None:
    """Its own thread, so that the end of input is seen while a pass is priced."""
    for line in stream:
        requests.put(line)
    os._exit(0)


def main(home: str, memory_gib: float) -> None:
    """Keep the pipes for the protocol, import TensorCast, answer."""
    os.umask(0o077)  # TensorCast refuses a model's files that others could write
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    stream = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=read_requests, args=(stream, requests), daemon=True).start()
    hello = versions(home)  # before the import: what is about to be loaded
    limit_memory(memory_gib)
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}

    try:
        import tensor_cast.core.model_runner  # noqa: F401
        import torch._dynamo
    except (ImportError, MemoryError) as error:
        if isinstance(error, MemoryError) or "map segment" in str(error):  # a library that does not fit
            sys.exit(TOO_LITTLE_MEMORY.format(memory_gib))
        raise

    torch._dynamo.config.recompile_limit = 10_000
    torch._dynamo.config.accumulated_recompile_limit = 100_000
    send(replies, hello=hello)
    serve(requests, replies, memory_gib)


if __name__ == "__main__":
    sys.path[0] = sys.argv[1]  # the checkout in place of this folder, where tensor_cast is aggsim's adapter
    if len(sys.argv) > 2:
        main(sys.argv[1], float(sys.argv[2]))
    else:
        sys.stdout.write(json.dumps(versions(sys.argv[1])) + "\n")
