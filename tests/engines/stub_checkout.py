"""A folder that the real worker takes for a checkout of Ascend/msmodeling with its torch: just enough to be driven.

What it was given is written to HOME/seen.json. query_len says what a pass does: see run_inference.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_checkout"]

FILES = {
    "torch/__init__.py": "import pathlib\n(pathlib.Path(__file__).parent.parent / 'torch_was_imported').touch()\n",
    "torch/_dynamo/__init__.py": "from . import config\nresets = 0\ndef reset():\n    global resets\n    resets += 1\n",
    "torch/_dynamo/config.py": "",
    "torch-2.9.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: torch\nVersion: 2.9.1\n",
    "transformers-5.13.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: transformers\nVersion: 5.13.1\n",
    "tensor_cast/__init__.py": "",
    "tensor_cast/device.py": 'DeviceProfile(name="TEST_DEVICE")\n',
    "tensor_cast/transformers/builtin_model/moe.py": 'model_type="qwen3_moe"\nmodel_type="deepseek_v3"\n',
    "tensor_cast/core/__init__.py": "",
    "tensor_cast/core/quantization/__init__.py": "",
    "tensor_cast/core/quantization/datatypes.py": """
import enum

QuantizeLinearAction = enum.Enum("QuantizeLinearAction", {n: n for n in ("DISABLED", "W8A8_DYNAMIC", "FP8")})
QuantizeAttentionAction = enum.Enum("QuantizeAttentionAction", {n: n for n in ("DISABLED", "INT8")})
""",
    "tensor_cast/core/user_config.py": """
class UserInputConfig:
    def __init__(self, **values):
        self.__dict__.update(values)
""",
    "tensor_cast/core/input_generator.py": """
class RequestInfo:
    def __init__(self, query_len, seq_len, is_decode=True, concurrency=1):
        self.query_len, self.seq_len, self.is_decode, self.concurrency = query_len, seq_len, is_decode, concurrency

def generate_inputs(): ...
def generate_inputs_varlen(): ...
""",
    "tensor_cast/performance_model/__init__.py": "",
    "tensor_cast/performance_model/op_invoke_info.py": """
class Region:
    equivalent_tensor_id_manager, root_region_id_to_reference_count, region_id_to_root_region_id = set(), {}, {}
""",
    "tensor_cast/performance_model/bound_analyzer.py": """
class BoundAnalyzer:
    @staticmethod
    def dominant(result):
        return result.bound
""",
    "tensor_cast/core/model_runner.py": """
import json, os, pathlib, sys, time
from types import SimpleNamespace

import torch._dynamo
from tensor_cast.performance_model.op_invoke_info import Region

HOME = pathlib.Path(__file__).parent.parent.parent


class ModelRunner:
    model_weight_size_gb = 5.0

    def __init__(self, user_input):
        folder = pathlib.Path(user_input.model_id)
        if user_input.num_mtp_tokens == 9:
            raise ValueError("too many\\n  MTP layers")
        self.user_input, self.calls = user_input, []
        self.seen = {key: getattr(value, "value", value) for key, value in vars(user_input).items()} | {
            "files": [path.name for path in folder.iterdir()],
            "config": json.loads((folder / "config.json").read_text()),
            "writable": oct(folder.stat().st_mode | (folder / "config.json").stat().st_mode)[-2:],
            "offline": os.environ["HF_HUB_OFFLINE"],
            "limits": [torch._dynamo.config.recompile_limit, torch._dynamo.config.accumulated_recompile_limit],
        }

    def run_inference(self, requests, generate_inputs_func, runtime_observer):
        print("printed by Python")
        os.write(1, b"printed by C\\n")
        what = requests[0].query_len
        if what == 13:
            raise RuntimeError("Dynamo failed\\n\\nfrom user code")
        if what == 14:
            sys.exit("cannot go on")
        if what == 15:
            bytearray(2**40)
        if what == 16:
            (HOME / "sleeping").write_text(str(os.getpid()))
            time.sleep(60)
        Region.equivalent_tensor_id_manager.add(what)
        Region.region_id_to_root_region_id[len(self.calls)] = what
        self.calls.append([generate_inputs_func.__name__, [list(vars(request).values()) for request in requests]])
        self.seen |= {"calls": self.calls, "folder_is_gone": not pathlib.Path(self.user_input.model_id).exists()}
        self.seen |= {"resets": torch._dynamo.resets, "remembered": len(Region.region_id_to_root_region_id)}
        (HOME / "seen.json").write_text(json.dumps(self.seen))
        weight, reserved = self.model_weight_size_gb, self.user_input.reserved_memory_gb
        self.model_weight_size_gb -= 1.0  # as the real one does with a vision tower
        for stage in range(self.user_input.pp_size):
            runtime_observer(Runtime())
        return SimpleNamespace(
            execution_time_s={"analytic": 0.006 * self.user_input.pp_size},
            model_weight_size_gb=weight,
            kv_cache_size_gb=2.0,
            model_activation_size_gb=0.5,
            reserved_memory_gb=reserved,
            device_memory_available_gb=64.0 - weight - 2.5 - reserved,
            total_device_memory_gb=64.0,
        )


def event(func, seconds, bound):
    result = SimpleNamespace(execution_time_s=seconds, bound=bound)
    return SimpleNamespace(op_invoke_info=SimpleNamespace(func=func), perf_results={"analytic": result})


class Runtime:
    event_list = [
        event("aten.mm.default", 0.001, "memory_bound"),
        event("aten.mm.default", 0.003, "compute_bound_mma"),
        event("aten.view.default", 0.0, "unknown_bound"),
        event("tensor_cast.all_reduce.default", 0.002, "communication_bound"),
    ]

    def get_breakdowns(self):
        seconds = {"memory": 0.001, "communication": 0.002, "compute": 0.003}
        return {
            "analytic_OpBound": {
                "memory_bound": seconds["memory"],
                "communication_bound": seconds["communication"],
                "compute_bound_mma": seconds["compute"],
                "compute_bound_gp": 0.0,
            }
        }
""",
}


def write_checkout(home: Path) -> Path:
    for name, text in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    return home
