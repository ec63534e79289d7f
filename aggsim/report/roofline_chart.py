"""The roofline of a pass: every operator as a dot under the roofs of its device, both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import altair as alt
import pandas as pd

from aggsim.devices.spec import DeviceSpec
from aggsim.report.charts import BOUNDS_AND_REST, finished
from aggsim.report.format import number, percent
from aggsim.report.method_tables import Roof
from aggsim.report.theme import Theme

__all__ = ["SHAPES", "roofline_chart", "roofline_title", "without_flops_title"]

HEIGHT = 470
NUM_NAMES = 6
NAMED_SHARE = 0.01
"""Of the pass: shorter operators are left to hover."""
SHAPES = {"memory": "circle", "communication": "diamond", "matrix": "square", "vector": "triangle-up", "other": "cross"}
"""What bounds an operator is told by shape as well as by colour."""
DOT_AREAS = (45.0, 1600.0)
"""Square pixels of a dot of no share, and of one that is the whole pass."""
PLOT_PX = (350.0, 360.0)
"""The plot at its narrowest: names that keep apart there do so on every wider screen."""
CHAR_PX, LINE_PX, GAP_PX = 6.2, 15.0, 5.0
ROWS = (0, -1, 1, -2, 2, -3, -4, -5, -6, 3, 4)
"""Where a name may stand: level with its dot, a line below, a line above, …; right of it or else left."""
_RIGHT, _DOWN = alt.ExprRef("datum.right"), alt.ExprRef("-datum.up")
_ALIGN = alt.ExprRef("datum.side > 0 ? 'left' : 'right'")
_BOUND_BY = {"matrix": "matrix units", "vector": "vector units"}


def roofline_title(name: str, points: pd.DataFrame, device: DeviceSpec) -> str:
    """E.g. "Decode: attention at 8.05 FLOP/byte; bound by memory; …". points: not empty."""
    first = points.iloc[0]
    bound = str(first["bound"])
    return (
        f"{name}: {first['operator']} at {number(first['flop_per_byte'])} FLOP/byte; "
        f"bound by {_BOUND_BY.get(bound, bound)}. Solid: peaks, dashed: reachable "
        f"({percent(device.compute_efficiency)} of compute, {percent(device.memory_efficiency)} of bandwidth)"
    )


def without_flops_title(frame: pd.DataFrame) -> str:
    """Of the operators beside the roofline. frame: method_tables.without_flops."""
    return f"{percent(float(frame['share'].sum()))} of the pass counts no FLOPs; collectives, copies, fused norms"


def roofline_chart(points: pd.DataFrame, roofs: Sequence[Roof], theme: Theme, name: str, title: str) -> Any:
    """points: method_tables.roofline_points, roofs: method_tables.roofs; neither empty."""
    plot = _Plot.of(points, roofs)
    x, y = plot.channels()
    key = _key(points, plot, theme)
    fixed = [*_roof_names(roofs, plot, theme), *key]
    names = _operator_names(points, fixed, plot, theme)
    lines = (
        alt.Chart(alt.InlineData(_corners(roofs, plot)))
        .mark_line(color=theme.muted, strokeWidth=1.4, clip=True)
        .encode(
            x,
            y,
            alt.Detail("roof:N"),
            alt.StrokeDash("dash:N", scale=alt.Scale(domain=[False, True], range=[[1, 0], [5, 4]]), legend=None),
        )
    )
    ties = (
        alt.Chart(alt.InlineData([asdict(text) for text in names if text.up]))
        .mark_rule(color=theme.muted, strokeWidth=0.8, x2Offset=_RIGHT, y2Offset=_DOWN)
        .encode(x, y, alt.X2("x:Q"), alt.Y2("y:Q"))
    )
    texts = alt.Chart(alt.InlineData([asdict(text) for text in (*fixed, *names)]))
    layout: dict[str, Any] = {"align": _ALIGN, "baseline": "middle", "dx": _RIGHT, "dy": _DOWN}
    # Behind each text its own outline in the colour of the page: lines do not cross letters.
    halo = texts.mark_text(stroke=theme.surface, strokeWidth=4, strokeJoin="round", **layout)
    written = texts.mark_text(**layout).encode(x, y, alt.Text("text:N"), alt.Color("ink:N", scale=None))
    dots = _dots(points, key, x, y, theme)
    return finished([lines, ties, halo.encode(x, y, alt.Text("text:N")), dots, written], theme, name, title, HEIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """Starts (side 1) or ends (side −1) some pixels right of and above the point x, y."""

    text: str
    x: float
    y: float
    right: float
    up: float
    side: int
    ink: str


_Box = tuple[float, float, float, float]
"""Left, bottom, right, top in pixels."""


@dataclass(frozen=True, slots=True)
class _Plot:
    """Two logarithmic axes, and pixels on them where the plot has PLOT_PX."""

    x: tuple[float, float]
    y: tuple[float, float]

    @classmethod
    def of(cls, points: pd.DataFrame, roofs: Sequence[Roof]) -> _Plot:
        """With room for every dot and every ridge."""
        x, y = points["flop_per_byte"], points["tflop_per_s"]
        right = max(float(x.max()), *(roof.ridge for roof in roofs)) * 3
        top = max(float(y.max()), *(roof.tflop_per_s for roof in roofs)) * 1.5
        return cls((float(x.min()) / 2, right), (float(y.min()) / 2, top))

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Right of and above the lower left corner."""
        across = math.log(x / self.x[0]) / math.log(self.x[1] / self.x[0])
        up = math.log(y / self.y[0]) / math.log(self.y[1] / self.y[0])
        return across * PLOT_PX[0], up * PLOT_PX[1]

    def box(self, text: _Text) -> _Box:
        """What the text covers."""
        x, y = self.pixel(text.x, text.y)
        width = CHAR_PX * len(text.text)
        left, middle = x + text.right - (0 if text.side > 0 else width), y + text.up
        return left, middle - LINE_PX / 2, left + width, middle + LINE_PX / 2

    def channels(self) -> tuple[alt.X, alt.Y]:
        scales = [alt.Scale(type="log", domain=list(domain), nice=False) for domain in (self.x, self.y)]
        axes = [alt.Axis(values=_decades(domain), format=",~g", grid=True) for domain in (self.x, self.y)]
        return (
            alt.X("x:Q", title="arithmetic intensity (FLOP per byte of memory)", scale=scales[0], axis=axes[0]),
            alt.Y("y:Q", title="achieved (TFLOP/s)", scale=scales[1], axis=axes[1]),
        )


def _decades(domain: tuple[float, float]) -> list[float]:
    return [10.0**n for n in range(math.ceil(math.log10(domain[0])), math.floor(math.log10(domain[1])) + 1)]


def _corners(roofs: Sequence[Roof], plot: _Plot) -> list[dict[str, Any]]:
    """Up the memory slope to the ridge, then flat."""
    return [
        {"roof": f"{roof.formats} {roof.is_reachable}", "dash": roof.is_reachable, "x": x, "y": y}
        for roof in roofs
        for x, y in (
            (plot.x[0], plot.x[0] * roof.tb_per_s),
            (roof.ridge, roof.tflop_per_s),
            (plot.x[1], roof.tflop_per_s),
        )
    ]


def _roof_names(roofs: Sequence[Roof], plot: _Plot, theme: Theme) -> list[_Text]:
    """Peaks beyond the right end of their line, the bandwidth beside the slope."""
    solid = [roof for roof in roofs if not roof.is_reachable]
    names = [
        _Text(
            text=f"{roof.formats} {number(roof.tflop_per_s)}",
            x=plot.x[1],
            y=roof.tflop_per_s,
            right=6,
            up=0,
            side=1,
            ink=theme.muted,
        )
        for roof in solid
    ]
    rate, x = solid[0].tb_per_s, math.sqrt(plot.x[0] * min(roof.ridge for roof in solid))
    return [*names, _Text(text=f"{number(rate)} TB/s", x=x, y=x * rate, right=-8, up=6, side=-1, ink=theme.muted)]


def _key(points: pd.DataFrame, plot: _Plot, theme: Theme) -> list[_Text]:
    """What the dots' colours and shapes mean, in the upper left corner, where no operator can be."""
    present = [bound for bound in BOUNDS_AND_REST if bound in set(points["bound"])]
    return [
        _Text(text=bound, x=plot.x[0], y=plot.y[1], right=18, up=-(i + 0.6) * LINE_PX, side=1, ink=theme.muted)
        for i, bound in enumerate(present)
    ]


def _operator_names(points: pd.DataFrame, fixed: list[_Text], plot: _Plot, theme: Theme) -> list[_Text]:
    """The longest operators, each where its name runs into nothing else; left out where there is no such place."""
    taken = [plot.box(text) for text in fixed]
    dots = list(zip(points["flop_per_byte"], points["tflop_per_s"], map(_radius, points["share"]), strict=True))
    taken += [(u - r, v - r, u + r, v + r) for (u, v), r in ((plot.pixel(x, y), r) for x, y, r in dots)]
    longest = points["operator"].head(NUM_NAMES)[points["share"] >= NAMED_SHARE]
    names: list[_Text] = []
    for (x, y, radius), operator in zip(dots, longest, strict=False):
        for row, side in ((row, side) for row in ROWS for side in (1, -1)):
            right, up = side * (radius + GAP_PX), row * LINE_PX
            text = _Text(text=operator, x=x, y=y, right=right, up=up, side=side, ink=theme.ink)
            box = plot.box(text)
            inside = box[0] >= 0 and box[1] >= 0 and box[2] <= PLOT_PX[0] and box[3] <= PLOT_PX[1]
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                names.append(text)
                break
    return names


def _radius(share: float) -> float:
    """Of a dot, in pixels."""
    return math.sqrt((DOT_AREAS[0] + share * (DOT_AREAS[1] - DOT_AREAS[0])) / math.pi)


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _dots(points: pd.DataFrame, key: list[_Text], x: alt.X, y: alt.Y, theme: Theme) -> alt.Chart:
    """One an operator; its area is its share of the pass. Those of the key are dots as well."""
    columns = {"flop_per_byte": "x", "tflop_per_s": "y"}
    frame = points[["operator", "ms", "share", "calls", "bound", *columns]].rename(columns=columns)
    rows = [
        {"right": 0.0, "up": 0.0} | {str(name): value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
    rows += [asdict(text) | {"bound": text.text, "right": text.right - 10, "share": 0.02} for text in key]
    domain = list(BOUNDS_AND_REST)
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(rows))
        .mark_point(filled=True, opacity=0.9, stroke=theme.surface, strokeWidth=1, xOffset=_RIGHT, yOffset=_DOWN)
        .encode(
            x,
            y,
            alt.Color("bound:N", scale=alt.Scale(domain=domain, range=theme.colours(BOUNDS_AND_REST)), legend=None),
            alt.Shape("bound:N", scale=alt.Scale(domain=domain, range=[SHAPES[b] for b in domain]), legend=None),
            alt.Size("share:Q", scale=alt.Scale(domain=[0, 1], range=list(DOT_AREAS)), legend=None),
            tooltip=[
                alt.Tooltip("operator:N"),
                alt.Tooltip("ms:Q", title="time (ms)", format=",.5~f"),
                alt.Tooltip("share:Q", format=".2%"),
                alt.Tooltip("calls:Q", format=","),
                alt.Tooltip("bound:N", title="bound by"),
                alt.Tooltip("x:Q", title="FLOP per byte", format=",.4~g"),
                alt.Tooltip("y:Q", title="TFLOP/s", format=",.4~g"),
            ],
        )
    )
    return chart
