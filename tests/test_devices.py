"""The device catalog against its published numbers, and the strict reader of device files."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggsim.devices import GP_DTYPES, MMA_DTYPES, DeviceSpec, LinkLevel, device_ids, device_to_toml, load_device
from aggsim.devices import parse_device as parse
from aggsim.errors import InputError
from aggsim.scenario import Scenario
from tests.factories import make_device

GIB, TIB, T, G, US = 1024**3, 1024**4, 1e12, 1e9, 1e-6

# Links, outer to inner: size, GB/s, latency µs, efficiency, full mesh.
A2 = ((128, 25, 1.5, 0.7, False), (8, 196, 0.5, 0.7, True))
A3 = ((48, 196, 5.5, 0.7, False), (8, 196, 0.5, 0.7, False), (2, 224, 0.2, 0.7, False))
A3_ROCE = ((2, 24.5, 5.5, 0.7, False), *A3[1:])
A5 = ((2, 24, 4.5, 0.525, False), (2, 32, 3, 0.56, False), (4, 159, 1.5, 0.85, True))
PCIE = ((8, 64, 0.2, 0.7, False),)
TEST = ((256, 50, 10, 0.7, False), (8, 196, 1.3, 0.7, True))
T280, T376 = (75, 245.8, 280, 560), (99.5, 353.9, 376, 752)
T354, T425 = (99.5, 353.9, 353.9, 707.8, 707.8, 1415.6), (189, 378, 378, 756, 756, 1512)

# The eleven of Ascend/msmodeling at 84fec85: mma T in the order of MMA_DTYPES, gp T (FP32, halves), GiB, TiB/s,
# (compute, memory) efficiency, static µs (mma, gp, communication), links.
ORIGINAL: dict[str, tuple[Any, ...]] = {
    "TEST_DEVICE": (T354, (5.5, 11), 64, 1.6, (0.7, 0.6), (5, 2, 0), TEST),
    "ATLAS_800_A2_376T_64G": (T376, (11, 22), 64, 1.6, (0.7, 0.6), (5, 2, 10), A2),
    "ATLAS_800_A2_313T_64G": ((83, 294.9, 313, 626), (9, 18), 64, 1.6, (0.7, 0.6), (5, 2, 10), A2),
    "ATLAS_800_A2_280T_64G": (T280, (8, 16), 64, 1.6, (0.7, 0.6), (5, 2, 10), A2),
    "ATLAS_800_A2_280T_64G_PCIE": (T280, (8, 16), 64, 1.6, (0.7, 0.6), (5, 2, 10), PCIE),
    "ATLAS_800_A2_280T_32G_PCIE": (T280, (8, 16), 32, 0.8, (0.7, 0.6), (5, 2, 10), PCIE),
    "ATLAS_800_A3_752T_128G_DIE": (T376, (11, 22), 64, 1.6, (0.7, 0.6), (5, 2, 10), A3),
    "ATLAS_800_A3_560T_128G_DIE": (T280, (8, 16), 64, 1.6, (0.7, 0.6), (5, 2, 10), A3),
    "ATLAS_800_A3_560T_128G_DIE_ROCE": (T280, (8, 16), 64, 1.6, (0.7, 0.6), (5, 2, 10), A3_ROCE),
    "ATLAS_350_425T_112G": (T425, (24, 47), 112, 1.4, (0.9, 0.8), (5, 2, 5), A5),
    "ATLAS_350_425T_84G": (T425, (24, 47), 84, 1.4, (0.9, 0.8), (5, 2, 5), A5),
}

# Matrix T (BF16, INT8, FP8, FP4; None: not there), vector T (FP32, BF16), GiB, TB/s,
# inside a node (size, GB/s, µs), GB/s beyond it.
DATA_SHEET: dict[str, tuple[Any, ...]] = {
    "H100_SXM_80G": ((989, 1979, 1979, None), (67, 134), 79.6, 3.35, (8, 450, 2), 50),
    "H200_SXM_141G": ((989, 1979, 1979, None), (67, 134), 140.4, 4.8, (8, 450, 2), 50),
    "B200_SXM_180G": ((2250, 4500, 4500, 9000), (75, 150), 180, 7.7, (8, 900, 2), 100),
    "B300_SXM_288G": ((2250, 154, 4500, 14000), (75, 150), 268, 7.75, (8, 900, 2), 100),
    "GB200_186G": ((2500, 5000, 5000, 10000), (80, 160), 185, 8.0, (72, 900, 2), 100),
    "A100_SXM_80G": ((312, 624, None, None), (19.5, 78), 80, 2.039, (8, 300, 2), 25),
    "L40S_48G": ((362, 733, 733, None), (91.6, 91.6), 45, 0.864, (8, 32, 4), 50),
    "RTX_PRO_6000_96G": ((468, 936, 936, 1871), (117, 117), 95.6, 1.792, (8, 64, 4), 50),
    "MI300X_192G": ((1307, 2615, 2615, None), (163, 163), 192, 5.3, (8, 448, 3), 50),
}


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-14)


def test_the_catalog() -> None:
    assert device_ids() == tuple(sorted([*ORIGINAL, *DATA_SHEET]))
    assert Scenario().device in device_ids()


@pytest.mark.parametrize("device_id", ORIGINAL)
def test_the_eleven_have_the_numbers_of_the_original(device_id: str) -> None:
    mma, gp, gib, tib_per_s, efficiency, static_us, links = ORIGINAL[device_id]
    device = load_device(device_id)
    assert device.mma_ops_per_s == close({k: v * T for k, v in zip(MMA_DTYPES, mma, strict=False)})
    assert device.gp_ops_per_s == close({"fp32": gp[0] * T, "bf16": gp[1] * T, "fp16": gp[1] * T})
    assert device.memory_bytes == gib * GIB
    assert device.memory_bandwidth_bytes_per_s == tib_per_s * TIB
    assert (device.compute_efficiency, device.memory_efficiency) == efficiency
    costs_s = (device.mma_op_cost_s, device.gp_op_cost_s, device.comm_op_cost_s)
    assert costs_s == close(tuple(cost * US for cost in static_us))
    assert [(ln.size, ln.full_mesh) for ln in device.links] == [(ln[0], ln[4]) for ln in links]
    rates = [(ln.bandwidth_bytes_per_s, ln.latency_s, ln.efficiency) for ln in device.links]
    assert rates == [close((ln[1] * G, ln[2] * US, ln[3])) for ln in links]
    assert device.vendor == ("test" if device_id == "TEST_DEVICE" else "ascend")


@pytest.mark.parametrize("device_id", DATA_SHEET)
def test_the_others_have_the_numbers_of_their_data_sheets(device_id: str) -> None:
    (bf16, int8, fp8, fp4), (fp32, half), gib, tb_per_s, (size, link, latency), beyond = DATA_SHEET[device_id]
    device = load_device(device_id)
    mma = {"bf16": bf16, "fp16": bf16, "int8": int8, "fp8": fp8, "fp4": fp4}
    assert device.mma_ops_per_s == close({k: v * T for k, v in mma.items() if v is not None})
    assert device.gp_ops_per_s == close({"fp32": fp32 * T, "bf16": half * T, "fp16": half * T})
    assert round(device.memory_bytes / GIB, 1) == gib
    assert device.memory_bandwidth_bytes_per_s == close(tb_per_s * T)
    assert (device.compute_efficiency, device.memory_efficiency) == (0.7, 0.8)
    costs_s = (device.mma_op_cost_s, device.gp_op_cost_s, device.comm_op_cost_s)
    assert costs_s == close((3 * US, 2 * US, 5 * US))
    outer, inner = device.links
    assert (inner.size, inner.bandwidth_bytes_per_s, inner.latency_s) == (size, close(link * G), close(latency * US))
    assert (outer.bandwidth_bytes_per_s, outer.latency_s) == (close(beyond * G), close(5 * US))
    assert (device.num_devices_per_node, inner.full_mesh) == (size, device.vendor == "amd")


@pytest.mark.parametrize("device_id", device_ids())
def test_every_device_file(device_id: str) -> None:
    device = load_device(device_id)
    assert device.device_id == device_id
    assert device.vendor in ("ascend", "nvidia", "amd", "test")
    assert "84fec85" in device.source or "data sheet" in device.source or "aiconfigurator-core 0.12.0" in device.source
    assert device.gp_ops_per_s.keys() == set(GP_DTYPES)
    assert parse(device_to_toml(device), "copy") == device
    if device.vendor in ("nvidia", "amd"):
        assert device.num_devices_max >= 4096


def test_nobody_spoils_the_catalog() -> None:
    load_device("H100_SXM_80G").mma_ops_per_s.clear()
    assert load_device("H100_SXM_80G").mma_ops_per_s["bf16"] == 989 * T


@pytest.mark.parametrize("device_id", ["h100_sxm_80g", "H100", "", "../spec", "\0", "no such thing" * 50])
def test_an_unknown_device_is_an_input_error(device_id: str) -> None:
    with pytest.raises(InputError) as caught:
        load_device(device_id)
    assert caught.value.field == "device"
    assert "H200_SXM_141G" in caught.value.allowed


def test_a_slip_in_an_id_is_answered_with_the_closest_ones() -> None:
    with pytest.raises(InputError, match="closest H100_SXM_80G"):
        load_device("h100_sxm")


# --- the reader ---

GOOD = device_to_toml(make_device())
"""Shape of the file: plain values, [mma_ops_per_s], [gp_ops_per_s], two [[links]]."""


def with_line(key: str, line: str) -> str:
    """GOOD with the first line that sets key replaced."""
    lines = GOOD.splitlines()
    index = next(i for i, text in enumerate(lines) if text.startswith(f"{key} = "))
    return "\n".join([*lines[:index], line, *lines[index + 1 :]])


def error_of(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        parse(text, "mine.toml")
    return caught.value


REQUIRED = [
    "device_id",
    "vendor",
    "source",
    "memory_bytes",
    "memory_bandwidth_bytes_per_s",
    "compute_efficiency",
    "memory_efficiency",
    "mma_op_cost_s",
    "gp_op_cost_s",
    "comm_op_cost_s",
]


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_key_is_named_with_its_file(key: str) -> None:
    assert error_of(with_line(key, "")).field == f"mine.toml: {key}"


def test_a_missing_key_of_a_link_is_named_with_its_level() -> None:
    assert error_of(with_line("latency_s", "")).field == "mine.toml: links[0]: latency_s"
    assert parse(with_line("full_mesh", ""), "mine.toml") == make_device()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("tdp_w = 700\n" + GOOD, "mine.toml: tdp_w"),
        (GOOD + "width = 3\n", "mine.toml: links[1]: width"),
        (with_line("int8", "int4 = 1e12"), "mine.toml: mma_ops_per_s: int4"),
        (with_line("fp32", "fp8 = 1e12"), "mine.toml: gp_ops_per_s: fp8"),
        (GOOD.replace("[mma_ops_per_s]", "[mma]"), "mine.toml: mma"),
        (GOOD.partition("[[links]]")[0], "mine.toml: links"),
        ("links = []\n" + GOOD.partition("[[links]]")[0], "mine.toml: links"),
        ("links = [1]\n" + GOOD.partition("[[links]]")[0], "mine.toml: links"),
        (GOOD + "[[links]]\n" * 7, "mine.toml: links"),
        (GOOD.replace("[mma_ops_per_s]", "[mma_ops_per_s]\n[gp_ops_per_s.bf16]"), "mine.toml"),
        ("not toml", "mine.toml"),
        ("\0", "mine.toml"),
        ("a = " + "[" * 15_000, "mine.toml"),
        ("a = " + "9" * 15_000, "mine.toml"),
        (GOOD + "#" * 20_000, "mine.toml"),
    ],
    ids=range(15),
)
def test_a_file_of_another_shape(text: str, field: str) -> None:
    error = error_of(text)
    assert error.field == field
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("memory_bytes", value) for value in ("0", "-1", "nan", "inf", "1e300", "9" * 400, '"64"', "true", "[64]")),
        ("memory_bandwidth_bytes_per_s", "0.5"),
        ("compute_efficiency", "0"),
        ("compute_efficiency", "1.1"),
        ("mma_op_cost_s", "-1e-6"),
        ("comm_op_cost_s", "1.5"),
        ("int8", "0"),
        ("size", "0"),
        ("size", "2.5"),
        ("size", "true"),
        ("efficiency", "nan"),
        ("full_mesh", "1"),
        ("device_id", '""'),
        ("device_id", '"<b>chip</b>"'),
        ("device_id", '"../chip"'),
        ("device_id", f'"{"x" * 65}"'),
        ("vendor", "7"),
        ("source", '"two\\nlines"'),
        ("source", "2024-02-29"),
    ],
    ids=range(27),
)
def test_a_bad_value_is_named(key: str, value: str) -> None:
    error = error_of(with_line(key, f"{key} = {value}"))
    assert error.field.startswith("mine.toml: ")
    assert error.field.endswith(key)
    assert str(error).isprintable()


positive = st.floats(1, 1e18)
efficiencies = st.floats(0.001, 1)
costs_s = st.floats(0, 1)
names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=40)
specs = st.builds(
    DeviceSpec,
    device_id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True),
    vendor=names,
    source=names,
    mma_ops_per_s=st.dictionaries(st.sampled_from(MMA_DTYPES), positive, min_size=1),
    gp_ops_per_s=st.dictionaries(st.sampled_from(GP_DTYPES), positive, min_size=1),
    memory_bytes=positive,
    memory_bandwidth_bytes_per_s=positive,
    compute_efficiency=efficiencies,
    memory_efficiency=efficiencies,
    mma_op_cost_s=costs_s,
    gp_op_cost_s=costs_s,
    comm_op_cost_s=costs_s,
    links=st.lists(
        st.builds(
            LinkLevel,
            size=st.integers(1, 1_000_000),
            bandwidth_bytes_per_s=positive,
            latency_s=costs_s,
            efficiency=efficiencies,
            full_mesh=st.booleans(),
        ),
        min_size=1,
        max_size=8,
    ).map(tuple),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(specs)
def test_any_device_survives_its_file(spec: DeviceSpec) -> None:
    assert parse(device_to_toml(spec), "copy") == spec


def test_what_a_grid_holds() -> None:
    device = make_device()
    assert (device.num_devices_max, device.num_devices_per_node) == (32, 8)
    lone = make_device(links=device.links[1:])
    assert (lone.num_devices_max, lone.num_devices_per_node) == (8, 8)
