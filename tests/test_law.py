"""A law of one's own: read from TOML, fitted to measurements; exact where it can be, honest where it cannot."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggsim import service
from aggsim.cli import main
from aggsim.engines.linear import LATENCY_TERMS, LinearForward, law_features
from aggsim.errors import InputError
from aggsim.forward.batch import Batches, RequestGroup
from aggsim.planning.law_fit import LawFit, fit_law, nonnegative_least_squares, r_squared
from aggsim.planning.law_rows import COLUMNS, Measured, Measurements, read_measurements
from aggsim.report.law_chart import MAX_POINTS, residual_chart
from aggsim.report.law_tables import fit_table, worst_table
from aggsim.report.law_words import fit_json, fit_title, fit_words, law_words, notes
from aggsim.report.theme import DARK, LIGHT
from aggsim.scenario import LinearLaw, Scenario
from aggsim.share import decode
from aggsim.share_law import LAW_UNITS, law_from_toml, law_query, law_toml

LAW = LinearLaw(fixed_s=0.008, per_token_s=5.2e-6, per_token_ctx_s=1.3e-11, per_ctx_s=6e-8, memory_gib=60.0)
SHAPES = [
    *(("prefill", n, q, q + prefix) for n in (1, 2, 4) for q in (512, 4096) for prefix in (0, 3000)),
    *(("decode", n, 1, s) for n in (1, 16, 128) for s in (1000, 8000)),
]
HEADER = ",".join(COLUMNS)


def rows(law: LinearLaw = LAW, shapes: list[tuple[str, int, int, int]] = SHAPES, noise: float = 0.0) -> Measurements:
    """What the law says of the shapes, each off by up to `noise`, the same every time."""
    forward, random = LinearForward(law=law, dp=1), np.random.default_rng(5)
    found = []
    for line, (phase, n, q, s) in enumerate(shapes, start=2):
        group = RequestGroup(num_requests=n, query_len=q, seq_len=s, is_decode=phase == "decode")
        latency_s = forward.cost((group,)).latency_s * (1 + random.uniform(-noise, noise))
        found.append(Measured(line=line, phase=phase, requests=n, query_len=q, seq_len=s, latency_s=latency_s))
    return Measurements(rows=tuple(found), problems=())


def csv_of(measurements: Measurements) -> str:
    lines = [
        f"{row.phase},{row.requests},{row.query_len},{row.seq_len},{row.latency_s * 1000!r}"
        for row in measurements.rows
    ]
    return "\n".join((HEADER, *lines))


# --- least squares ---


@given(
    st.integers(0, 2**32 - 1),
    st.integers(5, 30),
    st.lists(st.floats(-12, 2), min_size=4, max_size=4),
    st.sampled_from([0.0, 0.1, 10.0]),
)
def test_the_minimum_is_one(seed: int, count: int, scales: list[float], noise: float) -> None:
    """The conditions of Karush, Kuhn and Tucker: with them this convex problem has no better point.

    Nothing below zero; the gradient is zero where a coefficient is above zero, and not below zero where it is zero.
    """
    random = np.random.default_rng(seed)
    matrix = random.uniform(0, 1, (count, 4)) * 10.0 ** np.array(scales)
    target = matrix @ (random.uniform(-0.5, 1, 4) / 10.0 ** np.array(scales)) + noise * random.normal(size=count)
    found = nonnegative_least_squares(matrix, target)
    assert (found >= 0).all()
    lengths = np.linalg.norm(matrix, axis=0)
    gradient = (matrix / lengths).T @ (matrix @ found - target)
    tolerance = 1e-6 * float(np.linalg.norm(target))
    assert (gradient >= -tolerance).all()
    assert (np.abs(gradient[found > 0]) <= tolerance).all()


def test_it_agrees_with_scipy_where_scipy_is() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    random = np.random.default_rng(7)
    for _ in range(50):
        matrix, target = random.uniform(0, 1, (12, 4)), random.normal(1, 2, 12)
        ours, theirs = nonnegative_least_squares(matrix, target), optimize.nnls(matrix, target)[0]
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_no_coefficient_goes_below_zero() -> None:
    """Latency falls with the number of tokens here: the plain solution would be negative."""
    matrix = np.column_stack((np.ones(4), [1.0, 2.0, 3.0, 4.0]))
    found = nonnegative_least_squares(matrix, np.array([4.0, 3.0, 2.0, 1.0]))
    assert found.tolist() == pytest.approx([2.5, 0.0])


def test_r_squared_by_hand() -> None:
    assert r_squared(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])) == pytest.approx(0.5)
    assert r_squared(np.array([2.0, 2.0]), np.array([2.0, 1.0])) is None


# --- the fit ---


@pytest.mark.parametrize("errors", ["relative", "absolute"])
@pytest.mark.parametrize(
    "law",
    [
        LAW,
        replace(LAW, per_token_ctx_s=0.0),
        replace(LAW, fixed_s=0.0),
        LinearLaw(fixed_s=0.02),
        LinearLaw(per_token_s=1e-5),
    ],
)
def test_a_law_is_found_again(law: LinearLaw, errors: Any) -> None:
    fit = fit_law(rows(law), errors=errors, memory=law)
    for name in LATENCY_TERMS:
        assert getattr(fit.law, name) == pytest.approx(getattr(law, name), rel=2e-6)
    assert (fit.law.memory_gib, fit.law.gib_per_ctx) == (law.memory_gib, law.gib_per_ctx)
    assert max(map(abs, fit.relative)) < 1e-5
    assert fit.r2 is None or fit.r2 == pytest.approx(1)


def test_the_columns_are_the_engine_s() -> None:
    """What a fit says of a row is what the engine prices for that pass, of any number of replicas."""
    measurements = rows(noise=0.1)
    fit = fit_law(measurements)
    for dp in (1, 4):
        batches = Batches.uniform(
            [row.requests * dp for row in measurements.rows],
            [row.query_len for row in measurements.rows],
            [row.seq_len for row in measurements.rows],
            is_decode=[row.phase == "decode" for row in measurements.rows],
        )
        np.testing.assert_allclose(LinearForward(law=fit.law, dp=dp).price(batches).latency_s, fit.fitted_s, rtol=1e-12)
        np.testing.assert_array_equal(law_features(batches, dp), law_features(measurements.batches()))


def test_no_law_nearby_is_closer() -> None:
    measurements = rows(noise=0.2)
    target = np.array([row.latency_s for row in measurements.rows])
    features = law_features(measurements.batches())

    def squares(coefficients: tuple[float, ...]) -> float:
        return float((((features @ np.array(coefficients)) / target - 1) ** 2).sum())

    fit = fit_law(measurements)
    best = tuple(getattr(fit.law, name) for name in LATENCY_TERMS)
    for factors in itertools.product((0.99, 1.0, 1.01), repeat=4):
        near = tuple(value * factor for value, factor in zip(best, factors, strict=True))
        assert squares(best) <= squares(near) * (1 + 1e-9)


def test_relative_errors_keep_short_passes_right() -> None:
    """A prefill of seconds that no law fits must not decide what a decode pass of milliseconds takes."""
    measurements = rows()
    spoilt = tuple(
        replace(row, latency_s=row.latency_s * (1.3 if i % 2 else 0.8)) if row.phase == "prefill" else row
        for i, row in enumerate(measurements.rows)
    )
    worst = {}
    for errors in ("relative", "absolute"):
        fit = fit_law(Measurements(rows=spoilt, problems=()), errors=errors)
        worst[errors] = max(abs(off) for off, row in zip(fit.relative, fit.rows, strict=True) if row.phase == "decode")
    assert worst["relative"] < worst["absolute"]


def test_what_rows_cannot_tell_apart_is_said() -> None:
    decode_only = rows(shapes=[shape for shape in SHAPES if shape[0] == "decode"])
    fit = fit_law(decode_only)
    assert fit.same == ("per_token_ctx_s", "per_ctx_s")
    # of the two the one that prices prompts as decoding does not
    assert fit.law.per_token_ctx_s == 0
    assert fit.law.per_ctx_s == pytest.approx(LAW.per_ctx_s + LAW.per_token_ctx_s, rel=1e-5)
    assert "cannot tell per_token_ctx_s and per_ctx_s apart" in notes(fit)[0]
    assert "No row is of phase prefill" in notes(fit)[1]
    assert fit_law(rows()).same == ()


def test_too_few_rows() -> None:
    few = Measurements(rows=rows().rows[:4], problems=())
    with pytest.raises(InputError, match='file: "4 usable rows" is not possible; allowed: at least 5'):
        fit_law(few)


def test_worst_rows_first() -> None:
    fit = fit_law(rows(noise=0.2))
    off = [abs(fit.relative[i]) for i in fit.worst(len(fit.rows))]
    assert off == sorted(off, reverse=True)
    assert worst_table(fit, 3)["line"].tolist() == [fit.rows[i].line for i in fit.worst(3)]


# --- CSV ---


def test_any_order_of_columns_any_separator() -> None:
    plain = read_measurements(csv_of(rows()))
    assert plain.rows == tuple(replace(read, line=row.line) for read, row in zip(plain.rows, rows().rows, strict=True))
    turned = "\ufeffnote;LATENCY_MS;seq_len;query_len;requests;phase\n\nx;8.5;4000;1;64; Decode \n"
    (row,) = read_measurements(turned).rows
    assert row == Measured(line=3, phase="decode", requests=64, query_len=1, seq_len=4000, latency_s=0.0085)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("warmup,1,1,10,5", 'line 3, phase: "warmup" is not possible; allowed: prefill, decode'),
        ("decode,0,1,10,5", 'line 3, requests: "0" is not possible; allowed: a whole number from 1 to 1,000,000'),
        ("decode,1.5,1,10,5", 'line 3, requests: "1.5" is not possible'),
        ("decode,1,nan,10,5", 'line 3, query_len: "nan" is not possible'),
        ("decode,1,20,10,5", 'line 3, seq_len: "10" is not possible; allowed: at least query_len, 20'),
        ("decode,1,1,10,0", 'line 3, latency_ms: "0" is not possible; allowed: a number above 0 and up to'),
        ("decode,1,1,10,-3", 'line 3, latency_ms: "-3" is not possible'),
        ("decode,1,1,10,inf", 'line 3, latency_ms: "inf" is not possible'),
        ("decode,1,1,10", 'line 3, latency_ms: "nothing" is not possible'),
        ('decode,1,1,10,"5', 'line 3: "decode,1,1,10,"5" is not possible; allowed: a row of CSV'),
    ],
)
def test_a_bad_row_is_named_and_the_others_stay(line: str, words: str) -> None:
    good = csv_of(rows()).splitlines()
    found = read_measurements("\n".join([good[0], good[1], line, *good[2:]]))
    (problem,) = found.problems
    assert str(problem).startswith(words)
    assert len(found.rows) == len(SHAPES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 'header: "nothing" is not possible; allowed: phase, requests'),
        ("phase,requests,query_len,latency_ms\ndecode,1,1,5", "(seq_len is missing)"),
        (f"{HEADER},phase\ndecode,1,1,10,5,decode", "(phase is twice)"),
        ("\x00\x01", "header: "),
        ("x" * 10_000_001, "at most 10,000,000 characters"),
    ],
)
def test_what_is_no_table(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_measurements(text)
    assert words in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = read_measurements(f"{HEADER}\n{text}")
    except InputError:
        return
    assert all(row.seq_len >= row.query_len >= 1 and row.latency_s > 0 for row in found.rows)


# --- TOML ---


@given(
    st.builds(
        LinearLaw,
        fixed_s=st.floats(1e-12, 1e3),
        per_token_s=st.floats(0, 1),
        per_token_ctx_s=st.floats(0, 1e-6),
        per_ctx_s=st.floats(0, 1e-3),
        memory_gib=st.floats(0, 1e4),
        gib_per_ctx=st.floats(0, 1),
    )
)
def test_toml_and_link_keep_every_digit(law: LinearLaw) -> None:
    assert law_from_toml(law_toml(law)) == law
    linked = decode(law_query(law)).scenario
    assert (linked.engine, linked.law) == ("linear", law)


def test_toml_at_the_top_or_in_a_table() -> None:
    assert law_from_toml("fixed_s = 1\nmemory_gib = 2") == law_from_toml("[law]\nfixed_s = 1.0\nmemory_gib = 2.0")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "TOML with fixed_s"),
        ("fixed_s = ", "TOML with fixed_s"),
        ("fixed_s = '8'", "fixed_s = 8"),
        ("fixed_s = true", "fixed_s = true"),
        ("fixed_s = -1", "fixed_s:-1"),
        ("fixed_s = nan", "fixed_s:nan"),
        ("per_step = 1", "an unknown name, per_step"),
        ("memory_gib = 80", "a step that takes no time"),
        ("law = 3", "law"),
    ],
)
def test_bad_toml_names_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        law_from_toml(text)
    assert caught.value.field == "law"
    assert words in str(caught.value)


def test_every_coefficient_has_a_unit() -> None:
    assert set(LAW_UNITS) == set(LinearLaw.__dataclass_fields__)


# --- words, table, chart, JSON ---


@pytest.fixture(scope="module")
def noisy() -> LawFit:
    return fit_law(rows(noise=0.1), memory=LAW)


def test_words(noisy: LawFit) -> None:
    assert law_words(LAW).startswith(
        "8 ms per step + 5.20 µs per new token + 60 ns per token of context + 13 ps per new"
    )
    assert law_words(LAW).endswith("; 60 GiB for the KV cache")
    worst = noisy.rows[noisy.worst(1)[0]].line
    assert fit_title(noisy).startswith("Half of the 18 rows are within ")
    assert f"line {worst}" in fit_title(noisy)
    assert fit_words(noisy).startswith("R² 0.9")
    assert "prefill 0.9" in fit_words(noisy)
    assert notes(noisy) == []


def test_the_table_has_what_was_measured_and_what_the_law_says(noisy: LawFit) -> None:
    frame = fit_table(noisy)
    np.testing.assert_allclose(frame["law_ms"] / frame["measured_ms"] - 1, frame["error"])
    assert frame["line"].tolist() == [row.line for row in noisy.rows]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_the_chart_is_valid_and_tells_phases_by_shape_too(noisy: LawFit, theme: Any) -> None:
    spec = residual_chart(noisy, theme).to_dict(validate=True)
    points = spec["layer"][1]["encoding"]
    assert points["shape"]["field"] == points["color"]["field"] == "phase"
    assert len(set(points["shape"]["scale"]["range"])) == 2
    assert spec["description"] == f"Residuals of the law: {fit_title(noisy)}"


def test_many_rows_are_thinned_but_the_worst_stay() -> None:
    many = fit_law(rows(shapes=SHAPES * 300, noise=0.1))
    spec = residual_chart(many, LIGHT).to_dict()
    data = spec["datasets"][spec["layer"][1]["data"]["name"]]
    assert len(data) <= MAX_POINTS + 5
    assert {row.line for row in (many.rows[i] for i in many.worst())} <= {point["line"] for point in data}


def test_json_can_be_read_by_all(noisy: LawFit) -> None:
    found = json.loads(json.dumps(fit_json(noisy, rows(noise=0.1)), allow_nan=False))
    assert found["r2"] == noisy.r2
    assert decode(found["link"]).scenario.law == noisy.law
    assert len(found["worst"]) == 5


# --- the command line ---


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    file = tmp_path / "bench.csv"
    file.write_text(csv_of(rows(noise=0.05)))
    return file


def test_fit_prints_the_law_and_writes_it(bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "law.toml"
    assert main(["fit", str(bench), "--toml", str(out), "--memory-gib", "60", "--gib-per-ctx", "3e-5"]) == 0
    text = capsys.readouterr().out
    law = law_from_toml(out.read_text())
    assert (law.memory_gib, law.gib_per_ctx) == (60, 3e-5)
    for words in (law_words(law), "R² 0.9", law_query(law), "Worst rows"):
        assert words in text
    assert main(["evaluate", "batch=16", "--law", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["engine"]["name"] == "linear"
    assert answer["engine"]["shares"] == {"prefill": {"fitted": 1.0}, "decode": {"fitted": 1.0}}
    assert answer["scenario"]["law"]["fixed_s"] == law.fixed_s
    assert main(["fit", str(bench), "--json", "--law", str(out), "--errors", "absolute"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["errors"] == "absolute"
    assert found["law"]["memory_gib"] == 60


def test_fit_names_bad_rows_and_ends_with_2(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench.write_text(f"{bench.read_text()}\ndecode,8,1,0,5\n")
    assert main(["fit", str(bench), "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["left_out"] == [
        {"field": f"line {len(SHAPES) + 2}, seq_len", "value": "0", "allowed": "a whole number from 1 to 10,000,000"}
    ]
    assert "1 row of 19 left out" in err
    assert f"line {len(SHAPES) + 2}, seq_len" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "nowhere.csv"), "file"),
        (("fit", "BENCH", "--memory-gib", "-1"), "memory_gib:-1"),
        (("fit", "BENCH", "--toml", "/nowhere/law.toml"), "toml"),
        (("evaluate", "--law", "nowhere.toml"), "law"),
        (("evaluate", "--jsonl", "BENCH", "--law", "law.toml"), "law"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: tuple[str, ...], words: str, bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(bench) if argument == "BENCH" else argument for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("aggsim: ")
    assert words in err
    assert err.count("\n") == 1


# --- a law to start from ---


def test_a_law_to_start_from_says_nearly_what_the_engine_says() -> None:
    asked = Scenario(device="MI300X_192G", batch=32)
    proposed = service.propose_law(asked)
    assert proposed.engine == "analytic"
    assert proposed.fit.r2 is not None
    assert proposed.fit.r2 > 0.99
    engine = service.evaluate(asked)
    law = service.evaluate(asked.replace(engine="linear", law=proposed.law))
    assert law.tpot_s == pytest.approx(engine.tpot_s, rel=0.15)
    assert law.ttft_s == pytest.approx(engine.ttft_s, rel=0.15)
    assert math.isclose(law.memory.available, engine.memory.available, rel_tol=0.05)
