"""The command line: what it prints, how it fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aggsim.cli import main
from aggsim.models import catalog

pytestmark = pytest.mark.usefixtures("empty_store")

ROOT = Path(__file__).parent.parent
ACCEPTANCE = "model=Qwen/Qwen3-32B&device=TEST_DEVICE&devices=8&tp=8&input=3500&output=1500&linear=w8a8_dynamic&tpot=50"
LAW = "engine=linear&law=fixed_s:0.01,per_token_s:1e-5,per_ctx_s:2e-8,memory_gib:40,gib_per_ctx:1e-5"
PASS: dict[str, Any] = {
    "model": "Qwen/Qwen3-32B",
    "device": "TEST_DEVICE",
    "num_devices": 8,
    "parallel": {"dp": 1, "tp": 8, "pp": 1, "ep": 1, "moe_tp": 1, "moe_dp": 8},
    "quantize_linear": "W8A8_DYNAMIC",
    "quantize_attention": "DISABLED",
    "num_mtp_tokens": 0,
    "compile": True,
    "is_decode": False,
    "concurrency": 1,
    "query_len": 512,
    "seq_len": 512,
}
"""A recorded pass without its answer."""


class Shell:
    """Run commands in this process; the output is kept."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.err = ""

    def text(self, *arguments: str, status: int = 0) -> str:
        assert main(arguments) == status
        out, self.err = self._capsys.readouterr()
        return out

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self.text(*arguments, status=status), parse_constant=pytest.fail)

    def lines(self, *arguments: str, status: int = 0) -> list[Any]:
        text = self.text(*arguments, status=status)
        return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def jsonl(folder: Path, *lines: object) -> str:
    path = folder / "lines.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return str(path)


def process(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aggsim", *arguments], cwd=ROOT, input=given, capture_output=True, text=True, check=False
    )


# --- evaluate ---


def test_the_acceptance_question(shell: Shell) -> None:
    answer = shell.json("evaluate", ACCEPTANCE, "--json")
    assert answer["row"]["batch_size"] == pytest.approx(193, abs=1)
    assert answer["ttft_ms"] == pytest.approx(15543.014, rel=0.015)
    assert answer["tpot_ms"] == pytest.approx(49.804, rel=0.015)
    assert answer["output_tokens_per_s"] == pytest.approx(3875.213, rel=0.015)
    assert answer["verdict"] == {"ok": True, "limit": None, "margin": None, "step": None}


def test_the_json_has_exactly_the_designed_keys(shell: Shell) -> None:
    answer = shell.json("evaluate", ACCEPTANCE, "--json")
    assert list(answer) == [
        *("scenario", "engine", "ttft_ms", "tpot_ms", "output_tokens_per_s", "output_tokens_per_s_per_device"),
        *("prompt_tokens_per_s", "requests_per_s"),
        *("concurrency", "num_chunks", "prefill_latency_ms", "prefill_last_latency_ms", "decode_latency_ms"),
        *("memory_left_gib", "prefill_memory_left_gib", "memory", "breakdown", "ops", "verdict", "timeline", "row"),
        "warnings",
    ]
    assert list(answer["engine"]) == ["name", "version", "source", "asked", "fallback", "shares"]
    assert list(answer["engine"]["shares"]) == ["prefill", "decode"]
    assert list(answer["memory"]) == ["weight", "kv_cache", "activation", "reserved", "available"]
    assert answer["memory"]["reserved"] == 10
    assert answer["memory"]["available"] == pytest.approx(answer["memory_left_gib"])
    for phase in ("prefill", "decode"):
        assert list(answer["breakdown"][phase]) == ["memory", "communication", "mma", "gp"]
        assert {tuple(op) for op in answer["ops"][phase]} == {("name", "calls", "total_s", "bound", "source")}
    assert answer["prefill_latency_ms"] == pytest.approx(1e3 * sum(op["total_s"] for op in answer["ops"]["prefill"]))
    assert list(answer["timeline"][0]) == [
        *("start_s", "end_s", "repeat", "prefill_requests", "chunk", "query_len", "decode_requests"),
        *("pending", "waiting", "ready", "prefill_s", "decode_s"),
    ]
    assert sum(step["repeat"] for step in answer["timeline"] if step["decode_requests"]) == 1500
    assert answer["scenario"]["batch"] == answer["row"]["batch_size"]
    assert None not in [answer["scenario"][key] for key in ("tp", "dp", "ep", "linear", "max_batched_tokens")]


def test_what_is_infinite_is_null(shell: Shell) -> None:
    answer = shell.json("evaluate", "devices=1&tp=1&model=meta-llama/Meta-Llama-3.1-405B&rules=current", "--json")
    assert answer["ttft_ms"] is answer["tpot_ms"] is answer["row"]["tpot"] is None
    assert answer["output_tokens_per_s"] == answer["decode_latency_ms"] == 0
    assert answer["verdict"]["limit"] == "memory"
    assert answer["verdict"]["margin"] == answer["memory_left_gib"] < 0
    assert answer["ops"]["decode"] == []
    assert set(answer["breakdown"]["decode"].values()) == {0}


def test_text(shell: Shell) -> None:
    text = shell.text("evaluate", ACCEPTANCE)
    assert text.startswith("Qwen3-32B · 8 × TEST DEVICE · TP 8 ")
    assert "✓ Fits and meets the limits at batch 193. TPOT stops batch 194" in text
    for part in ("TTFT          15.5 s", "(limit 50 ms)", "3,875 tokens/s, 484 per device", "analytic"):
        assert part in text
    assert shell.err == ""


def test_no_query_is_the_default_scenario(shell: Shell) -> None:
    assert shell.json("evaluate", "--json")["scenario"]["model"] == "Qwen/Qwen3-32B"


def test_a_whole_link_and_its_unknown_keys(shell: Shell) -> None:
    answer = shell.json("evaluate", f"http://localhost:8501/timeline?v=1&{LAW}&batch=4&colour=blue", "--json")
    assert answer["scenario"]["batch"] == 4
    assert shell.err == "aggsim: colour is not a known parameter: ignored\n"


def test_a_stepped_answer(shell: Shell) -> None:
    answer = shell.json("evaluate", f"{LAW}&batch=4&max_batched_tokens=1000&output=8", "--json")
    assert answer["num_chunks"] == 4
    assert answer["scenario"]["timing"] == "stepped"
    assert {step["chunk"] for step in answer["timeline"]} == {-1, 0, 1, 2, 3}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("input=0", "input"),
        ("tp=3", "tp"),
        ("device=ABACUS", "device"),
        ("model=no/such", "model"),
        ("engine=linear", "engine"),
        ("engine=silicon&device=TEST_DEVICE", "engine"),
        ("devices=4096&device=TEST_DEVICE", "devices"),
        ("timing=wave&max_batched_tokens=100", "timing"),
    ],
)
def test_a_bad_query_is_one_sentence(shell: Shell, query: str, message: str) -> None:
    assert shell.text("evaluate", query, status=2) == ""
    assert shell.err.startswith(f"aggsim: {message}")
    assert shell.err.count("\n") == 1


def test_jsonl_answers_every_line_in_order(shell: Shell, tmp_path: Path) -> None:
    law = {"fixed_s": 0.01, "memory_gib": 10}
    path = jsonl(
        tmp_path,
        {"engine": "linear", "law": law, "batch": 1},
        "this is not JSON",
        "",
        {"input": -5},
        [1, 2],
        {"clour": "blue"},
        {"engine": "linear", "law": law, "batch": 3, "ttft": None, "tpot": None},
        "[" * 100_000,
    )
    answers = shell.lines("evaluate", "--jsonl", path, status=2)
    assert [answer.get("concurrency") for answer in answers] == [1, None, None, None, None, 3, None]
    assert [answer["error"]["field"] for answer in answers if "error" in answer] == [
        *("line", "input", "scenario", "clour", "line")
    ]
    assert all(set(answer["error"]) == {"field", "value", "allowed"} for answer in answers if "error" in answer)


def test_jsonl_all_good_is_status_0_and_equals_the_query(shell: Shell, tmp_path: Path) -> None:
    answer = shell.json("evaluate", f"{LAW}&batch=4", "--json")
    assert shell.lines("evaluate", "--jsonl", jsonl(tmp_path, answer["scenario"])) == [answer]


def test_jsonl_from_standard_input() -> None:
    done = process("evaluate", "--jsonl", "-", given='{"tpot": "none", "batch": 2}\n{"batch": 0}\n')
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["concurrency"] == 2
    assert second["error"]["field"] == "batch"
    assert (done.returncode, done.stderr) == (2, "")


def test_a_model_may_be_a_path(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    shutil.copy(catalog.DATA / "Qwen--Qwen3-0.6B.json", folder / "config.json")
    bundled = shell.json("evaluate", "model=Qwen/Qwen3-0.6B&batch=4", "--json")
    for path in (folder, folder / "config.json"):
        own = shell.json("evaluate", f"model={path}&batch=4", "--json")
        assert own["tpot_ms"] == bundled["tpot_ms"]
        assert own["scenario"]["model"] == own["row"]["model_id"] == str(path)
        [priced] = shell.lines("forward", "--jsonl", jsonl(tmp_path, PASS | {"model": str(path)}))
        assert priced["weight_gb"] > 0
    assert shell.text("evaluate", f"model={tmp_path}", status=2) == ""
    assert "config.json" in shell.err


# --- forward ---


def test_a_recorded_pass(shell: Shell, tmp_path: Path) -> None:
    [answer] = shell.lines("forward", "--jsonl", jsonl(tmp_path, PASS | {"latency_s": 1.0, "ops": {}}))
    assert list(answer) == [
        *("latency_s", "weight_gb", "kv_cache_gb", "activation_gb", "available_gb", "breakdown_s", "ops")
    ]
    assert answer["latency_s"] == pytest.approx(0.02618798402205798, rel=0.01)
    assert answer["weight_gb"] == pytest.approx(5.283701181411743, rel=0.005)
    assert answer["available_gb"] == pytest.approx(58.67344068735838, abs=0.64)
    assert answer["breakdown_s"]["compute_bound_mma"] == pytest.approx(0.008339237352666194, rel=0.02)
    total_s, calls = answer["ops"]["tensor_cast.static_quant_linear.default"]
    assert (total_s, calls) == (pytest.approx(0.009341840683970447, rel=0.02), 256)
    assert sum(op[0] for op in answer["ops"].values()) == pytest.approx(answer["latency_s"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model": "no/such"}, "model"),
        ({"model": None}, "model"),
        ({"device": 5}, "device"),
        ({"num_devices": 4}, "num_devices"),
        ({"num_devices": 3, "parallel": {"tp": 3}}, "tp"),
        ({"parallel": [8]}, "parallel"),
        ({"quantize_linear": "W9A9"}, "quantize_linear"),
        ({"is_decode": 1}, "is_decode"),
        ({"concurrency": 0}, "concurrency"),
        ({"query_len": 2.5}, "query_len"),
        ({"seq_len": 100}, "seq_len"),
        ({"num_mtp_tokens": 99}, "num_mtp_tokens"),
        ({"engine": "linear"}, "engine"),
    ],
)
def test_a_bad_pass_names_its_field(shell: Shell, tmp_path: Path, change: dict[str, Any], field: str) -> None:
    first, second = shell.lines("forward", "--jsonl", jsonl(tmp_path, PASS | change, PASS), status=2)
    assert first["error"]["field"] == field
    assert second["latency_s"] > 0


def test_labels_in_any_case_and_reserved_memory(shell: Shell, tmp_path: Path) -> None:
    lower = PASS | {"quantize_linear": "w8a8_dynamic", "quantize_attention": "none"}
    kept = PASS | {"reserved_gib": 10}
    one, two, three = shell.lines("forward", "--jsonl", jsonl(tmp_path, PASS, lower, kept))
    assert one == two
    assert three["available_gb"] == pytest.approx(one["available_gb"] - 10)


def test_a_law_prices_a_pass(shell: Shell, tmp_path: Path) -> None:
    law = {"fixed_s": 0.5, "memory_gib": 1}
    [answer] = shell.lines("forward", "--jsonl", jsonl(tmp_path, PASS | {"engine": "linear", "law": law}))
    assert (answer["latency_s"], answer["available_gb"]) == (0.5, 1)


# --- listings, bench, help ---


def test_listings(shell: Shell) -> None:
    assert {"Qwen/Qwen3-32B", "deepseek-ai/DeepSeek-V3"} <= {row["model"] for row in shell.json("models", "--json")}
    [device] = [row for row in shell.json("devices", "--json") if row["device"] == "TEST_DEVICE"]
    assert (device["memory_gib"], device["devices_per_node"]) == (64, 8)
    engines = {row["engine"]: row for row in shell.json("engines", "--json")}
    assert list(engines["analytic"]) == ["engine", "version", "available", "reason"]
    assert engines["analytic"]["available"] is True
    for command, header in (("models", "parameters_billion"), ("devices", "memory_gib"), ("engines", "version")):
        lines = shell.text(command).splitlines()
        assert header in lines[0].split()
        assert len(lines) > 2


def test_bench_measures_ratios(shell: Shell) -> None:
    lines = shell.lines("bench", "price", "--json")
    assert {"bench", "name", "value", "unit", "compared_with"} == set(lines[0])
    speed_ups = [line["value"] for line in lines if line["name"].startswith("one call")]
    assert len(speed_ups) == 2
    assert min(speed_ups) > 3


def test_bench_names_the_deviation_from_the_recorded_passes(shell: Shell) -> None:
    worst = {line["name"]: line["value"] for line in shell.lines("bench", "goldens", "--json")}
    assert worst["worst latency, Qwen3-32B, TEST_DEVICE"] < 1
    assert max(value for name, value in worst.items() if name.startswith("worst operator")) < 2


def test_bench_refuses_an_unknown_name(shell: Shell) -> None:
    assert shell.text("bench", "colour", status=2) == ""
    assert shell.err.startswith("aggsim: bench")


@pytest.mark.parametrize(
    "arguments", [[], ["evaluat"], ["evaluate", "--jsn"], ["forward"], ["evaluate", "a", "--jsonl", "-"]]
)
def test_wrong_arguments_are_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m aggsim" in capsys.readouterr().err


def test_a_missing_file(shell: Shell, tmp_path: Path) -> None:
    assert shell.text("forward", "--jsonl", str(tmp_path / "none.jsonl"), status=2) == ""
    assert "No such file" in shell.err


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m aggsim devices --json | head -c 5; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_knows_no_signs() -> None:
    command = [sys.executable, "-m", "aggsim", "evaluate", f"{LAW}&batch=1"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={"PYTHONIOENCODING": "ascii", "AGGSIM_CACHE_DIR": "off"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert b"Fits and meets" in done.stdout


def test_the_command_line_does_not_wait_for_the_dashboard() -> None:
    heavy = ("streamlit", "altair", "pandas", "torch")
    code = f"import sys, aggsim.cli.evaluate, aggsim.cli.listing; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
