"""Charts of the Plan page where requests arrive: one simulated replica over time, its warm-up marked."""

from __future__ import annotations

from typing import Any

from aggsim.planning.load_result import LoadResult
from aggsim.report.charts import finished
from aggsim.report.load_tables import kv_title, queue_title, series_kv, series_queue
from aggsim.report.load_timeline_charts import kv_area, queue_lines, warm_up_marks
from aggsim.report.theme import Theme
from aggsim.report.timeline_tables import Window


def queue_chart(load: LoadResult, theme: Theme) -> Any:
    """Requests that wait and that are served."""
    lines = queue_lines(series_queue(load.series), theme, _whole(load))
    marks = warm_up_marks(theme, load.series.warm_up_s, _whole(load)[1])
    return finished([lines, *marks], theme, "Queue over time", queue_title(load), 240)


def kv_chart(load: LoadResult, theme: Theme) -> Any:
    """Share of the KV blocks that is held; only where there is an end to them."""
    area = kv_area(series_kv(load.series, load.kv.blocks or 0), theme, _whole(load))
    marks = warm_up_marks(theme, load.series.warm_up_s, _whole(load)[1])
    return finished([area, *marks], theme, "KV cache over time", kv_title(load), 205)


def _whole(load: LoadResult) -> Window:
    """Bins are of one length, and time_s their middles."""
    last = load.series.time_s[-1]
    return (0.0, last + last / (2 * len(load.series.time_s) - 1))
