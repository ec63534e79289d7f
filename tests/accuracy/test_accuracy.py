"""Measured rows, the closed-loop prediction, its scores, the kept predictions and the error bars."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from aggsim import service
from aggsim.cli import main
from aggsim.engines.linear import LinearForward
from aggsim.engines.silicon_tables import availability
from aggsim.errors import EngineError
from aggsim.forward.batch import Batch, RequestGroup
from aggsim.planning import accuracy, accuracy_fit, accuracy_search, measurements
from aggsim.planning.accuracy import PRICED, Prediction, Score, engine_versions, predict_group, score
from aggsim.planning.accuracy_store import read_predictions, stored_versions, times_of, write_csv
from aggsim.planning.closed_loop import ClosedLoop, GridPrices, LoopTimes, Overheads, predict
from aggsim.planning.measurements import Measurement, Times, load_measurements
from aggsim.planning.neighbours import can_compare, neighbours
from aggsim.report.accuracy_tables import predictions_table, scored, summary_json, worst_rows
from aggsim.report.accuracy_words import NOTHING_MEASURED, error_bar_words
from aggsim.scenario import LinearLaw, Scenario
from aggsim.serving.step_prices import ReplicaPasses

pytestmark = pytest.mark.skipif(availability() is not None, reason="the measurements are part of aiconfigurator-core")

SAMPLE = 8


@pytest.fixture(scope="module")
def rows() -> tuple[Measurement, ...]:
    return load_measurements()


def linear_forward() -> LinearForward:
    law = LinearLaw(fixed_s=5e-3, per_token_s=1e-5, per_ctx_s=2e-8, memory_gib=50.0, gib_per_ctx=1e-5)
    return LinearForward(law=law, dp=1)


def a_loop(**changes: object) -> ClosedLoop:
    values = {"users": 4, "input_tokens": 800, "output_tokens": 100, "length_spread": 0.0, "budget_tokens": 8192}
    return ClosedLoop(**{**values, "backend": "vllm"} | changes)  # type: ignore[arg-type]


def test_the_rows_are_the_clean_ones(rows: tuple[Measurement, ...]) -> None:
    assert len(rows) == 2413
    assert Counter(row.split for row in rows if not row.suspect_mtp) == {"fit": 1028, "report": 1306}
    assert sum(row.suspect_mtp for row in rows) == 79
    assert all(row.tp * row.dp <= 8 and row.users >= 1 for row in rows)


def test_every_row_is_a_scenario(rows: tuple[Measurement, ...]) -> None:
    for row in rows[::20]:
        scenario = row.scenario("silicon")
        assert (scenario.input, scenario.output, scenario.batch) == (row.input_tokens, row.output_tokens, row.users)
        assert scenario.attention == row.recipe.attention


def test_without_the_package_there_are_no_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "package_folder", lambda: None)
    load_measurements.cache_clear()
    with pytest.raises(EngineError, match="not installed"):
        load_measurements()
    load_measurements.cache_clear()


def test_the_grid_is_the_engine_on_its_points_and_close_in_between() -> None:
    forward = linear_forward()
    loop = a_loop(users=16)
    priced = GridPrices(forward, loop, 16).with_overheads(Overheads())
    exact = ReplicaPasses(forward=forward)
    number, sums = np.array([1, 4, 5, 16]), np.array([800, 4 * 850, 5 * 870, 16 * 900])
    prefills = [(), ((1, 800, 800),), ((2, 800, 800),), ((3, 800, 800),)]
    found, wanted = (prices.latency_s(number, sums, prefills) for prices in (priced, exact))
    assert np.allclose(found, wanted, rtol=0.02)


def test_one_user_waits_for_nobody() -> None:
    forward = linear_forward()
    loop = a_loop(users=1)
    found = predict(GridPrices(forward, loop, 1), loop, Overheads())
    prompt: Batch = (RequestGroup(num_requests=1, query_len=800, seq_len=800, is_decode=False),)
    assert found.ttft_s == pytest.approx(float(forward.price([prompt]).latency_s[0]), rel=0.02)


def test_overheads_do_what_they_say() -> None:
    forward, loop = linear_forward(), a_loop(collectives=10)
    grid = GridPrices(forward, loop, loop.users)
    plain = predict(grid, loop, Overheads())
    assert predict(grid, loop, Overheads(collective_s=1e-4)).tpot_s >= plain.tpot_s + 0.9e-3
    later = predict(grid, loop, Overheads(ttft_steps=2.0))
    assert later.ttft_s == pytest.approx(plain.ttft_s + 2 * plain.tpot_s)
    assert later.tpot_s == plain.tpot_s


def test_more_users_never_wait_less() -> None:
    forward = linear_forward()
    loops = [a_loop(users=users) for users in (1, 2, 4, 8, 16)]
    found = [predict(GridPrices(forward, loop, loop.users), loop, Overheads()) for loop in loops]
    assert [x.tpot_s for x in found] == sorted(x.tpot_s for x in found)
    assert [x.ttft_s for x in found] == sorted(x.ttft_s for x in found)


def test_scores() -> None:
    found = Score.of([-0.1, 0.2, 0.3])
    assert found.count == 3
    assert (found.median_ape, found.bias) == pytest.approx((0.2, 0.2))
    assert found.mean_ape == pytest.approx(0.2)
    assert Score.of([]).count == 0
    assert math.isnan(Score.of([]).median_ape)


def test_perfect_predictions_have_no_error(rows: tuple[Measurement, ...]) -> None:
    found = score(rows, lambda row: row.measured)
    assert {part.median_ape for part in found.values()} == {0.0}
    assert found["ttft_no_queue"].count == sum(not row.queued for row in rows)


def test_parameters_are_fitted_on_the_fit_half_only(rows: tuple[Measurement, ...]) -> None:
    with pytest.raises(ValueError, match="fit half"):
        accuracy_search.fit_overheads(scored(rows, "report")[:3], date="2026-01-01")
    fit = accuracy_fit.load_fit()
    assert fit.num_rows <= 1028
    assert fit.engine_version == engine_versions()["silicon"], "run: python -m aggsim accuracy --fit --store"
    assert accuracy_fit.overheads_of("silicon") == fit.overheads
    assert accuracy_fit.overheads_of("analytic").collective_s == 0.0


def test_the_fit_is_written_as_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = accuracy_fit.Fit(
        overheads=Overheads(collective_s=3e-6, prefill_share=1.2, ttft_steps=4.0),
        tpot_error=0.125,
        ttft_error=0.5,
        num_rows=7,
        engine_version="1, vllm 2",
        date="2026-01-01",
    )
    accuracy_fit.write_fit(fit, tmp_path / "fit.toml")
    monkeypatch.setattr(accuracy_fit, "FILE", tmp_path / "fit.toml")
    assert accuracy_fit.load_fit() == fit


def test_the_fit_finds_the_parameters_that_made_the_rows(rows: tuple[Measurement, ...]) -> None:
    chosen = scored(rows, "fit")[:50]

    def times(overheads: Overheads) -> dict[str, LoopTimes]:
        off = 1 + 1e5 * abs(overheads.collective_s - 8e-6) + abs(overheads.prefill_share - 1.2)
        measured = {row.id: row.measured for row in chosen}
        return {i: LoopTimes(ttft_s=off * t.ttft_ms / 1e3, tpot_s=off * t.tpot_ms / 1e3) for i, t in measured.items()}

    best, tpot, ttft = accuracy_search.best_of(chosen, [times(each) for each in accuracy_search.SEARCHED])
    assert best == Overheads(collective_s=8e-6, prefill_share=1.2, ttft_steps=0.0)
    assert (tpot, ttft) == pytest.approx((0.0, 0.0), abs=1e-9)


@pytest.mark.slow
def test_the_kept_parameters_are_those_that_the_search_finds(rows: tuple[Measurement, ...]) -> None:
    kept = accuracy_fit.load_fit()
    found = accuracy_search.fit_overheads(scored(rows, "fit"), date=kept.date)
    assert found.overheads == kept.overheads
    assert (found.tpot_error, found.ttft_error) == pytest.approx((kept.tpot_error, kept.ttft_error), abs=1e-4)


def test_kept_predictions_are_of_these_engines(rows: tuple[Measurement, ...]) -> None:
    assert stored_versions() == engine_versions(), "run: python -m aggsim accuracy --store"
    kept = read_predictions()
    assert {engine for engine, _ in kept} == {*PRICED, "auto"}
    assert all(("analytic", row.id) in kept for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("engine", PRICED)
def test_a_sample_of_the_kept_predictions_is_predicted_anew(rows: tuple[Measurement, ...], engine: str) -> None:
    for row in rows[:: len(rows) // SAMPLE][:SAMPLE]:
        (found,) = predict_group([row], engine)
        kept = times_of(engine, row)
        assert (found.times is None) == (kept is None)
        if found.times is not None and kept is not None:
            # A grid ends at the users of its largest row, so one made for a single row is not the same.
            assert found.times.tpot_ms == pytest.approx(kept.tpot_ms, rel=0.05)
            assert found.times.ttft_ms == pytest.approx(kept.ttft_ms, rel=0.10)


def test_csv(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    found = [
        Prediction(id="a", engine="silicon", times=Times(ttft_ms=1.5, tpot_ms=0.25)),
        Prediction(id="b", engine="silicon", times=None, reason="no table"),
    ]
    write_csv(found, file)
    assert file.read_text() == "id,engine,ttft_ms,tpot_ms\na,silicon,1.5,0.25\nb,silicon,,\n"


def test_summary_is_json_of_fractions(rows: tuple[Measurement, ...]) -> None:
    found = json.loads(json.dumps(summary_json(rows, ("auto", "native"), times_of), allow_nan=False))
    assert set(found) == {"fit", "report"}
    native = found["report"]["native"]
    assert native["tpot_median_ape"] == pytest.approx(0.161, abs=0.01)
    assert set(native["by"]) == {"system", "model", "backend", "load"}
    assert sum(part["rows"] for part in native["by"]["load"].values()) == native["rows"] == 1306


def test_worst_rows_are_sorted_by_ratio(rows: tuple[Measurement, ...]) -> None:
    table = predictions_table(rows[:200], "native", times_of)
    worst = worst_rows(table, "TPOT", 5)
    ratio = worst["predicted TPOT"] / worst["measured TPOT"]
    assert list(np.maximum(ratio, 1 / ratio)) == sorted(np.maximum(ratio, 1 / ratio), reverse=True)


def test_nothing_measured_in_words() -> None:
    assert error_bar_words("silicon", None) == NOTHING_MEASURED


def test_unknown_file_is_an_input_error(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aggsim.cli.accuracy.predict_all", lambda *_, **__: [])
    monkeypatch.setattr("aggsim.cli.accuracy.load_measurements", lambda: ())
    assert main(["accuracy", "--csv", "/nowhere/at/all.csv"]) == 2
    assert "csv" in capsys.readouterr().err


def test_measurements_do_not_change(rows: tuple[Measurement, ...]) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        rows[0].users = 3  # type: ignore[misc]


def test_analytic_is_scored_as_plan_asks_it(rows: tuple[Measurement, ...]) -> None:
    row = next(row for row in rows if row.users == 16 and row.model == "Qwen/Qwen3-32B" and row.precision == "fp8")
    asked = service.evaluate(row.scenario("analytic"))
    grid = GridPrices(accuracy._bind(row, "analytic"), accuracy._loop(row), row.users)
    context = row.input_tokens + row.output_tokens // 2
    i = int(np.searchsorted(grid.requests, row.users))
    between = np.interp(context, grid.contexts, grid.decode_s[i])
    assert between == pytest.approx(asked.decode.latency_s, rel=0.02)


def test_error_bar_of_something_measured(rows: tuple[Measurement, ...]) -> None:
    row = next(row for row in rows if row.model == "meta-llama/Meta-Llama-3.1-70B" and row.system == "h200_sxm")
    bar = neighbours(service.evaluate(row.scenario("analytic")))
    assert bar is not None
    assert 1 <= bar.count <= 20
    assert (bar.nearest.model, bar.nearest.system, bar.nearest.tp) == (row.model, row.system, row.tp)
    assert bar.tpot[0] <= bar.tpot[1]
    said = error_bar_words("analytic", bar)
    assert f"based on {bar.count} measurements, nearest: meta-llama/Llama-3.1-70B" in said
    assert "closed-loop" in said


@pytest.mark.parametrize("device", ["TEST_DEVICE", "ATLAS_800_A3_752T_128G_DIE", "A100_SXM_80G", "MI300X_192G"])
def test_no_error_bar_for_devices_nobody_measured(device: str) -> None:
    assert not can_compare(service.evaluate(Scenario(device=device, engine="analytic", batch=4)))


@pytest.mark.parametrize("changes", [{"mtp": 1}, {"pp": 2}, {"model": "google/gemma-4-26B-A4B"}])
def test_nothing_comparable_was_ever_measured(changes: dict[str, object]) -> None:
    asked = Scenario(device="H200_SXM_141G", engine="analytic", batch=4).replace(**changes)
    evaluation = service.evaluate(asked)
    assert can_compare(evaluation)
    assert neighbours(evaluation) is None


def test_no_error_bar_from_predictions_of_another_engine_version(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = service.evaluate(Scenario(device="H200_SXM_141G", engine="analytic", batch=4))
    assert neighbours(evaluation) is not None
    monkeypatch.setattr("aggsim.planning.neighbours.stored_versions", lambda: {"analytic": "0"})
    assert not can_compare(evaluation)
    assert neighbours(evaluation) is None
