"""Accuracy: predicted against measured, row by row."""

import streamlit as st

from aggsim.errors import EngineError
from aggsim.planning.accuracy import score
from aggsim.planning.accuracy_fit import load_fit
from aggsim.planning.accuracy_store import stored_versions, times_of
from aggsim.planning.measurements import load_measurements
from aggsim.report.accuracy_charts import parity_chart
from aggsim.report.accuracy_tables import BREAKDOWNS, ENGINE_TITLES, error_table, predictions_table, scored
from aggsim.report.accuracy_words import BLIND, fit_words, headline
from aggsim.report.theme import theme_named
from aggsim.ui.accuracy_view import draw_errors, draw_suspects, draw_worst
from aggsim.ui.chart import draw_chart
from aggsim.ui.navigation import require_app
from aggsim.ui.tiles import draw_headline

require_app()
st.html('<div class="aggsim-head"><h1>Accuracy</h1></div>')
try:
    rows = load_measurements()
except EngineError as error:
    st.info(f"No measurements here: {error.reason}.", icon=":material/info:")
    st.stop()

report = score(scored(rows, "report"), lambda row: times_of("auto", row))
versions = ", ".join(f"{name} {version}" for name, version in stored_versions().items())
draw_headline(headline(report["tpot"]), f"Closed-loop benchmarks, engine auto; {versions}")
st.caption(f"{BLIND} {fit_words(load_fit())}")
with st.container(horizontal=True):
    half = st.segmented_control("Rows", ["report", "fit", "both"], default="report") or "report"
    quantity = st.segmented_control("Quantity", ["TPOT", "TTFT"], default="TPOT") or "TPOT"
    engine = st.selectbox("Engine", list(ENGINE_TITLES), format_func=ENGINE_TITLES.__getitem__, index=3)
shown = [row for name in (["report", "fit"] if half == "both" else [half]) for row in scored(rows, name)]
for column, name in zip(st.columns(3), ("system", "backend", "load"), strict=True):
    kinds = sorted({BREAKDOWNS[name](row) for row in shown})
    wanted = column.multiselect(name.capitalize(), kinds, placeholder="all")
    shown = [row for row in shown if not wanted or BREAKDOWNS[name](row) in wanted]
table = predictions_table(shown, engine, times_of)
if table.empty:
    st.info("No row fits these filters.", icon=":material/filter_alt_off:")
    st.stop()

theme = theme_named(st.context.theme.type)
draw_chart(parity_chart(table, theme, quantity, f"{quantity} of {len(table):,} rows; the band is ±20%"))
draw_errors(error_table(shown, list(ENGINE_TITLES), times_of), "Errors of every engine on these rows")
by = st.segmented_control("By", list(BREAKDOWNS), default="model") or "model"
kinds = sorted({BREAKDOWNS[by](row) for row in shown})
parts = {kind: [row for row in shown if BREAKDOWNS[by](row) == kind] for kind in kinds}
draw_errors(error_table(parts, [engine], times_of), f"{ENGINE_TITLES[engine]} by {by}")
draw_worst(table, shown, quantity)
draw_suspects([row for row in rows if row.suspect_mtp], engine)
