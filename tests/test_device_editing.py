"""A device in a form: untouched fields keep their exact values, and a bad one is told under its own name and unit."""

from __future__ import annotations

import pytest

from aggsim import service
from aggsim.devices import DeviceSpec, load_device
from aggsim.devices.editing import device_of, link_key, texts_of
from aggsim.errors import InputError
from tests.factories import make_device


def edited(start: DeviceSpec, **texts: str) -> tuple[DeviceSpec | None, dict[str, InputError]]:
    changes = {key.replace("__", "."): text for key, text in texts.items()}
    meshes = tuple(link.full_mesh for link in start.links)
    return device_of(texts_of(start) | changes, meshes, start, start.vendor, start.source)


@pytest.mark.parametrize("device_id", service.devices())
def test_a_form_that_nobody_touched_is_the_device_itself(device_id: str) -> None:
    start = load_device(device_id)
    spec, errors = edited(start)
    assert errors == {}
    assert spec is not None
    for name in spec.__slots__:
        was = getattr(start, name)
        assert getattr(spec, name) == (" ".join(was.split()) if name == "source" else was), name


def test_one_field_changes_nothing_else() -> None:
    start = load_device("ATLAS_350_425T_112G")  # its bandwidth has more digits than the form shows
    spec, errors = edited(start, memory_bytes="96", mma_ops_per_s__fp4="")
    assert errors == {}
    assert spec is not None
    assert spec.memory_bytes == 96 * 2**30
    assert spec.memory_bandwidth_bytes_per_s == start.memory_bandwidth_bytes_per_s
    assert "fp4" not in spec.mma_ops_per_s
    assert spec.links == start.links


def test_units_are_those_of_the_labels() -> None:
    spec, _ = edited(
        make_device(),
        memory_bandwidth_bytes_per_s="4.8",
        mma_ops_per_s__bf16="1,979",
        gp_ops_per_s__bf16="134",
        compute_efficiency="70",
        comm_op_cost_s="5",
        links__1__bandwidth_bytes_per_s="450",
        links__0__latency_s="2.5",
        links__0__size=" 16 ",
    )
    assert spec is not None
    assert spec.memory_bandwidth_bytes_per_s == 4.8e12
    assert spec.mma_ops_per_s["bf16"] == 1979e12
    assert spec.compute_efficiency == pytest.approx(0.7)
    assert spec.comm_op_cost_s == pytest.approx(5e-6)
    assert (spec.links[0].size, spec.links[0].latency_s) == (16, pytest.approx(2.5e-6))
    assert spec.links[1].bandwidth_bytes_per_s == 450e9


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "nan", "NaN", "inf", "1e999", "64 GiB", "<b>64</b>", "６４", "1_0", "0x10"]
)
@pytest.mark.parametrize(
    ("key", "name", "unit"),
    [
        ("memory_bytes", "Memory", "GiB"),
        ("memory_bandwidth_bytes_per_s", "Memory bandwidth", "TB/s"),
        ("compute_efficiency", "Reachable compute", "%"),
        (link_key(1, "bandwidth_bytes_per_s"), "Link 2, bandwidth", "GB/s"),
        (link_key(0, "size"), "Link 1, joins", ""),
    ],
)
def test_a_number_that_is_none_is_told_with_its_unit(key: str, name: str, unit: str, text: str) -> None:
    spec, errors = edited(make_device(), **{key: text})
    assert spec is None
    assert list(errors) == [key]
    error = errors[key]
    assert (error.field, error.value) == (name, text.strip() or "nothing")
    assert error.allowed.endswith(unit)


@pytest.mark.parametrize("text", ["0", "-5", "nan", "x"])
def test_a_peak_is_a_number_or_nothing(text: str) -> None:
    spec, errors = edited(make_device(), mma_ops_per_s__fp8=text)
    assert spec is None
    assert "or nothing where there are no such units" in str(errors["mma_ops_per_s.fp8"])


def test_a_device_that_computes_nothing_is_refused() -> None:
    none = dict.fromkeys((f"mma_ops_per_s.{dtype}" for dtype in ("bf16", "fp16", "int8", "fp8")), "")
    spec, errors = edited(make_device(), **none)
    assert spec is None
    assert "Matrix units" in str(errors["mma_ops_per_s.bf16"])
    spec, errors = edited(make_device(), **dict.fromkeys((f"gp_ops_per_s.{d}" for d in ("fp32", "bf16", "fp16")), ""))
    assert "Vector units" in str(errors["gp_ops_per_s.bf16"])


def test_levels_of_links_come_and_go() -> None:
    start = make_device()
    one, errors = device_of(texts_of(start), (False,), start, "test", "made up")
    assert errors == {}
    assert one is not None
    assert one.links == start.links[:1]
    more = texts_of(start) | {
        link_key(2, k): t
        for k, t in (("size", "2"), ("bandwidth_bytes_per_s", "900"), ("latency_s", "1"), ("efficiency", "80"))
    }
    three, errors = device_of(more, (False, False, True), start, "test", "made up")
    assert errors == {}
    assert three is not None
    assert (three.links[2].full_mesh, three.links[2].bandwidth_bytes_per_s) == (True, 900e9)
    broken, errors = device_of(more | {link_key(0, "size"): "1.5"}, (False, False, True), start, "test", "made up")
    assert broken is None
    assert "whole number" in str(errors[""])


def test_texts_have_bounds_too() -> None:
    start = make_device()
    for vendor, source in (("", "made up"), ("x" * 41, "made up"), ("test", ""), ("test", "y" * 2001)):
        spec, errors = device_of(texts_of(start), (False, False), start, vendor, source)
        assert spec is None
        assert "printable characters" in str(errors[""])
