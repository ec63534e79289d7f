"""Engine silicon: consistent with itself, with the package it asks and with the analytic engine's memory."""

from __future__ import annotations

import dataclasses
import logging
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from aggsim.devices.catalog import device_ids, load_device
from aggsim.devices.package import PACKAGE_DEVICES
from aggsim.engines import choose_engine
from aggsim.engines.analytic import AnalyticEngine
from aggsim.engines.base import EngineOptions
from aggsim.engines.silicon import SiliconEngine, silicon_models, silicon_systems
from aggsim.engines.silicon_forward import SiliconForward
from aggsim.engines.silicon_ops import SOURCES
from aggsim.engines.silicon_quantization import EXPERT_FORMATS, KV_CACHE_FORMATS, LINEAR_FORMATS
from aggsim.engines.silicon_tables import LOCK, SYSTEMS, availability, package_version
from aggsim.errors import EngineError
from aggsim.forward.batch import Batches
from aggsim.models.catalog import load_model, model_ids
from aggsim.scenario import ATTENTION_MODES, LINEAR_MODES, ParallelLayout, Quantization
from aggsim.units import GIB
from tests.engines.silicon_cases import (
    BATCHES,
    DENSE,
    FP8,
    HYBRID,
    LATENT,
    LAYOUTS,
    MOE,
    NONE,
    bind,
    decode,
    needs_package,
    prefill,
    seconds,
    supports,
)

# --- without the package ---


def test_nothing_imports_the_package_until_it_answers() -> None:
    """Listing engines and answering for a device that is not NVIDIA's need no table."""
    program = (
        "import sys; from aggsim import service; from aggsim.scenario import Scenario; service.engines();"
        "answer = service.evaluate(Scenario(device='TEST_DEVICE', batch=1));"
        "print(answer.engine.name, 'aiconfigurator_core' in sys.modules, 'silicon' in ' '.join(answer.warnings))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "analytic False False\n"


def test_elsewhere_it_says_so_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aggsim.engines.silicon_tables.package_folder", lambda: None)
    assert availability.__wrapped__() == "aiconfigurator-core is not installed (pip install aiconfigurator-core)" or (
        sys.platform != "linux"
    )
    assert package_version.__wrapped__() == "not installed"
    monkeypatch.setattr("sys.platform", "darwin")
    assert availability.__wrapped__() == "aiconfigurator-core is built for Linux on x86-64 only"


def test_every_label_is_mapped_or_known_not_to_be() -> None:
    assert set(LINEAR_FORMATS) == set(LINEAR_MODES) - {"w4a8_static", "w4a8_dynamic", "mxfp4"}
    assert set(EXPERT_FORMATS) <= set(LINEAR_MODES)
    assert set(KV_CACHE_FORMATS) == set(ATTENTION_MODES) - {"int8"}
    ours = {name for name in device_ids() if load_device(name).vendor == "nvidia"}
    assert set(SYSTEMS) == ours | {entry.device_id for entry in PACKAGE_DEVICES.values()}


# --- what is covered ---


@needs_package
@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"device": "MI300X_192G"}, "MI300X_192G is none of the systems it has tables of"),
        ({"layout": ParallelLayout(tp=5)}, "its memory formula knows tp 1, 2, 4, 8 and more, not 5"),
        ({"quantization": Quantization(linear="mxfp4")}, "matmuls in mxfp4 were not measured anywhere"),
        ({"quantization": Quantization(attention="int8")}, "a KV cache in int8 was not measured anywhere"),
        (
            {"model": MOE, "layout": ParallelLayout(tp=4, ep=4), "quantization": Quantization(experts="w8a8_static")},
            "experts in w8a8_static were not measured anywhere",
        ),
        (
            {"model": MOE, "layout": ParallelLayout(tp=8, ep=4, moe_dp=2)},
            "copies of the experts (moe_dp 2) have to divide the replicas (dp 1)",
        ),
        (
            {"quantization": Quantization(linear="w4a16")},
            "vllm 0.24.0 on h200_sxm: qkv gemm was not measured as matmuls int4_wo, KV cache bfloat16, "
            "attention bfloat16, tp 4",
        ),
    ],
)
def test_why_not(asked: dict[str, Any], reason: str) -> None:
    assert supports(**asked) == reason
    with pytest.raises(EngineError, match="engine silicon: "):
        SiliconEngine().bind(
            load_model(asked.get("model", DENSE)),
            load_device(asked.get("device", "H200_SXM_141G")),
            asked.get("layout", LAYOUTS[DENSE]),
            asked.get("quantization", FP8),
            EngineOptions(),
        )


@needs_package
def test_a_model_that_cannot_be_expressed() -> None:
    spec = load_model(LATENT)
    other = dataclasses.replace(spec, model_id="somebody/else", layers=spec.layers[3:])
    reason = SiliconEngine().supports(other, load_device("H200_SXM_141G"), LAYOUTS[LATENT], FP8, EngineOptions())
    assert reason is not None
    assert reason.startswith("somebody/else is none of its models, and its layers are more than attention")


@needs_package
def test_reasons_hold_no_place_of_this_machine() -> None:
    reason = supports(layout=ParallelLayout(tp=128)) or ""
    assert reason.startswith("aiconfigurator-core does not build this deployment (num_heads 64 should be divisible")
    assert "/" not in reason


@needs_package
def test_a_framework_without_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aggsim.engines.silicon.measured_backends", lambda _: ("sglang", "trtllm"))
    assert supports(backend="vllm") == "h200_sxm was not measured with vllm, only with sglang and trtllm"


@needs_package
def test_systems_and_models_of_the_package() -> None:
    systems = {entry.system: entry for entry in silicon_systems()}
    assert set(SYSTEMS.values()) <= set(systems)
    every = ("vllm", "sglang", "trtllm")
    assert all(systems[SYSTEMS[name]].backends == every for name in device_ids() if name in SYSTEMS)
    assert {name: systems[name].backends for name in PACKAGE_DEVICES} == {
        **dict.fromkeys(("a100_pcie", "a30", "h100_pcie", "l4"), ()),
        "b60": ("vllm",),
        "gb300": every,
    }
    assert systems["gb300"].device_id == "GB300_288G"
    assert systems["h200_sxm"].source.endswith("systems/h200_sxm.yaml")
    models = {entry.model_id for entry in silicon_models()}
    assert len(models) == len(silicon_models()) > 80
    assert set(model_ids()) <= models
    assert not any("hf_quant" in name for name in models)


@needs_package
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["vllm", "sglang", "trtllm"])
def test_most_of_the_catalog_is_covered_on_h200(backend: str) -> None:
    reasons = {}
    for name in model_ids():
        spec = load_model(name)
        own = spec.quantization
        labels = Quantization(linear=own.linear, experts=own.experts) if own else FP8
        layout = ParallelLayout(tp=8, ep=8) if spec.is_moe else ParallelLayout(tp=4)
        reasons[name] = supports(name, layout=layout, quantization=labels, backend=backend)
    missing = {name: reason for name, reason in reasons.items() if reason}
    print(missing)
    assert len(missing) <= 2


# --- auto ---


@needs_package
def test_auto_takes_measured_tables_where_they_exist() -> None:
    engine, note = choose_engine(
        "auto", load_model(DENSE), load_device("H200_SXM_141G"), LAYOUTS[DENSE], FP8, EngineOptions()
    )
    assert (engine.name, note) == ("silicon", None)


@needs_package
def test_auto_says_why_it_falls_back() -> None:
    engine, note = choose_engine(
        "auto",
        load_model(DENSE),
        load_device("H200_SXM_141G"),
        LAYOUTS[DENSE],
        Quantization(linear="w8a8_dynamic"),
        EngineOptions(),
    )
    assert engine.name == "analytic"
    assert note is not None
    assert note.startswith("engine analytic answered: silicon could not (vllm 0.24.0 on h200_sxm: qkv gemm was not")


# --- prices ---


@needs_package
@pytest.mark.parametrize("model", [DENSE, MOE, LATENT, HYBRID])
def test_a_cost_adds_up(model: str) -> None:
    forward = bind(model)
    prices = forward.price(Batches.of(BATCHES.values()))
    for i, batch in enumerate(BATCHES.values()):
        cost = forward.cost(batch)
        assert sum(op.total_s for op in cost.ops) == pytest.approx(cost.latency_s, rel=1e-12)
        assert prices.latency_s[i] == pytest.approx(cost.latency_s, rel=1e-12)
        assert prices.available_bytes[i] == pytest.approx(cost.memory.available, rel=1e-12)
        by_bound = {bound: sum(op.total_s for op in cost.ops if op.bound == bound) for bound in ("memory", "mma")}
        assert cost.bound_s.memory == pytest.approx(by_bound["memory"])
        assert cost.bound_s.mma == pytest.approx(by_bound["mma"])
        assert cost.bound_s.total <= cost.latency_s * (1 + 1e-12)
        assert cost.bound_s.communication > 0
        by_source = {source: sum(op.total_s for op in cost.ops if op.source == source) for source in SOURCES.values()}
        assert cost.source == max(by_source, key=by_source.__getitem__)
        assert by_source["measured"] + by_source["interpolated"] > 0.7 * cost.latency_s
        assert all(op.calls > 0 and op.kernel not in ("", "other") for op in cost.ops)
        assert len({op.name for op in cost.ops}) >= len(cost.ops) - 2 * len(batch)
        memory = cost.memory
        parts = memory.weight + memory.kv_cache + memory.activation + memory.reserved + memory.available
        assert parts == pytest.approx(memory.total) == load_device("H200_SXM_141G").memory_bytes


@needs_package
@pytest.mark.parametrize("model", [DENSE, MOE, LATENT])
def test_pure_passes_equal_the_package(model: str) -> None:
    forward = bind(model)
    dp = forward.dp
    package = forward.program.handle
    for num, query, prefix in ((1, 4096, 0), (3, 700, 0), (2, 512, 3000)):
        (ours,) = seconds(forward, (prefill(num * dp, query, prefix),))
        assert ours == pytest.approx(package.predict_prefill_latency(num, query + prefix, prefix) / 1e3, rel=1e-12)
    for num, context in ((1, 2), (64, 4096), (500, 30_000)):
        (ours,) = seconds(forward, (decode(num * dp, context),))
        assert ours == pytest.approx(package.predict_decode_latency(num, context - 1) / 1e3, rel=1e-12)


@needs_package
def test_a_mixed_pass_is_near_the_package_where_it_knows_one() -> None:
    """It prices one logits row, we as many as there are requests; the rest is the same."""
    forward = bind(layout=ParallelLayout(tp=4))
    for new, num, context in ((4096, 32, 4096), (2048, 128, 2048)):
        (ours,) = seconds(forward, (prefill(1, new), decode(num, context + 2)))
        theirs = forward.program.handle.mixed_step_latency(new, num, new, 2 * (context - new) + 2) / 1e3
        assert ours == pytest.approx(theirs, rel=2e-3)


@needs_package
@pytest.mark.parametrize("model", [DENSE, MOE, LATENT, HYBRID])
def test_mixing_costs_less_than_two_passes_and_more_than_either(model: str) -> None:
    """Away from multiples of 512 tokens: with one token more vLLM's measured FP8 matmuls take up to twice as long."""
    forward = bind(model)
    for chunk, num in ((128, 16), (600, 64), (1200, 64), (2600, 256)):
        alone = seconds(forward, (prefill(1, chunk, 1000),), (decode(num, 3000),))
        (mixed,) = seconds(forward, (prefill(1, chunk, 1000), decode(num, 3000)))
        assert max(alone) <= mixed <= sum(alone) * (1 + 1e-9)


@needs_package
@pytest.mark.parametrize("model", [DENSE, MOE, LATENT])
def test_more_work_takes_longer(model: str) -> None:
    """Measured curves have steps: twice the work is never more than 3% faster."""
    forward = bind(model)
    for sizes in (
        [(prefill(1, 2**i),) for i in range(7, 17)],
        [(prefill(1, 512, 2**i),) for i in range(7, 17)],
        [(decode(2**i, 4096),) for i in range(1, 12)],
        [(decode(64, 2**i),) for i in range(7, 18)],
    ):
        times = np.array(seconds(forward, *sizes))
        assert (times[1:] > 0.97 * times[:-1]).all()
        assert times[-1] > 1.2 * times[0]


@needs_package
def test_replicas_share_a_pass() -> None:
    one, two = bind(layout=ParallelLayout(tp=4)), bind(layout=ParallelLayout(tp=4, dp=2))
    assert seconds(two, (decode(63, 4096),)) == seconds(one, (decode(32, 4096),))
    whole = bind(MOE, layout=ParallelLayout(tp=4, ep=4))
    copies = bind(MOE, layout=ParallelLayout(tp=4, dp=2, ep=4, moe_dp=2))
    assert seconds(copies, (decode(64, 4096),)) == seconds(whole, (decode(32, 4096),))
    assert (
        copies.memory == whole.memory or copies.cost((decode(64, 99),)).memory == whole.cost((decode(32, 99),)).memory
    )


@needs_package
def test_a_pipeline_halves_the_memory_and_adds_a_transfer() -> None:
    flat, cut = bind(layout=ParallelLayout(tp=2)), bind(layout=ParallelLayout(tp=2, pp=2))
    batch = (decode(64, 4096),)
    before, after = flat.cost(batch), cut.cost(batch)
    assert after.memory.weight == pytest.approx(before.memory.weight / 2)
    assert after.memory.kv_cache == pytest.approx(before.memory.kv_cache / 2)
    assert {op.kernel for op in after.ops} - {op.kernel for op in before.ops} == {"send"}
    assert before.latency_s < after.latency_s < 1.1 * before.latency_s


@needs_package
def test_drafting_costs_tokens_and_layers() -> None:
    plain, drafted = bind(), bind(num_mtp_tokens=2)
    assert seconds(drafted, (prefill(2, 4096),)) == seconds(plain, (prefill(2, 4096),))
    (one,), (three,) = seconds(plain, (decode(64, 4096),)), seconds(drafted, (decode(64, 4096, query=3),))
    assert one < three < 3 * (1 + 2 / 64) * one
    assert any("Drafting 2 tokens" in text for text in drafted.warnings)


@needs_package
def test_too_many_tokens_for_the_package() -> None:
    with pytest.raises(EngineError, match="at most 2,147,483,647 tokens"):
        bind().price([(prefill(10_000_000, 1_000_000),)])


@needs_package
def test_an_empty_pass_costs_nothing() -> None:
    forward = bind()
    cost = forward.cost(())
    assert (cost.latency_s, cost.ops) == (0.0, ())
    assert len(forward.price([])) == 0


# --- memory ---


@needs_package
@pytest.mark.parametrize(
    ("model", "layout"),
    [
        (DENSE, ParallelLayout(tp=1)),
        ("meta-llama/Meta-Llama-3.1-70B", ParallelLayout(tp=1)),
        (MOE, ParallelLayout(tp=4, ep=4)),
        (LATENT, ParallelLayout(tp=8, ep=8)),
    ],
)
def test_memory_is_close_to_the_analytic_engine(model: str, layout: ParallelLayout) -> None:
    """With tp the package cuts the word embedding too, which we keep whole on every device."""
    spec, device = load_model(model), load_device("H200_SXM_141G")
    batch = (decode(8, 4096),)
    ours = AnalyticEngine().bind(spec, device, layout, NONE, EngineOptions(reserved_bytes=GIB)).cost(batch).memory
    theirs = bind(model, layout=layout, quantization=NONE, reserved_bytes=GIB).cost(batch).memory
    embedding = 2 * spec.vocab_size * spec.hidden_size * (1 - 1 / layout.tp)
    assert theirs.weight == pytest.approx(ours.weight - embedding, rel=0.05)
    assert theirs.kv_cache == pytest.approx(ours.kv_cache, rel=0.05)
    assert theirs.reserved == ours.reserved == GIB


@needs_package
def test_context_fills_memory_and_formats_shrink_it() -> None:
    short, long = (bind().cost((decode(64, context),)).memory for context in (1000, 2000))
    assert long.kv_cache == pytest.approx(2 * short.kv_cache)
    assert short.available - long.available == pytest.approx(short.kv_cache)
    small = bind(quantization=Quantization(linear="fp8", attention="fp8")).cost((decode(64, 1000),)).memory
    assert small.kv_cache == pytest.approx(short.kv_cache / 2)
    wide = bind(quantization=NONE).cost((decode(64, 1000),)).memory
    assert 1.7 < wide.weight / short.weight < 2


# --- in a server ---


@needs_package
def test_the_log_stays_quiet(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    handlers = list(logging.getLogger("aiconfigurator_core").handlers)
    with caplog.at_level(logging.WARNING):
        bind(LATENT, layout=ParallelLayout(tp=8, ep=8)).cost(BATCHES["mixed"])
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("aiconfigurator_core").handlers == handlers
    assert logging.getLogger("aiconfigurator_core").propagate


@needs_package
def test_many_threads_get_the_same_answer() -> None:
    found: dict[int, list[float]] = {}
    layouts = [ParallelLayout(tp=tp) for tp in (1, 2, 4, 8)]

    def ask(number: int) -> None:
        forward = bind("meta-llama/Meta-Llama-3.1-8B", layout=layouts[number % 4])
        found[number] = seconds(forward, *((decode(n, 3000),) for n in range(1, 100)))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert all(found[number] == found[number % 4] for number in found)


@needs_package
def test_speed() -> None:
    """Printed, not asserted: the machine may be busy."""
    bind()
    start = time.perf_counter()
    forward = bind(layout=ParallelLayout(tp=8))
    bound = time.perf_counter()
    forward.price(Batches.uniform(range(1, 513), 1, 4096, is_decode=True))
    priced = time.perf_counter()
    print(f"\nsilicon: {1e3 * (bound - start):.0f} ms to bind, {1e6 * (priced - bound) / 512:.0f} µs a new shape")
    assert priced > bound > start


@needs_package
def test_what_is_known_waits_for_nobody_who_opens_tables() -> None:
    known = bind()
    opening, opened = threading.Event(), threading.Event()

    def open_some() -> None:
        with LOCK:
            opening.set()
            opened.wait(20)

    holder = threading.Thread(target=open_some)
    holder.start()
    found: list[SiliconForward] = []
    asker = threading.Thread(target=lambda: found.append(bind()))
    try:
        assert opening.wait(5)
        asker.start()
        asker.join(5)
        assert [forward.program for forward in found] == [known.program]
    finally:
        opened.set()
        holder.join(5)
        asker.join(5)
