"""What a simulated replica comes to: times of its requests, gaps between tokens, queue and KV blocks over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aggsim.forward.batch import BoolArray, FloatArray, IntArray
from aggsim.serving.continuous import Served

__all__ = ["RequestTimes", "Span", "mean_in_bins", "request_times", "token_gaps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time, the start not included."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestTimes:
    """N requests in order of arrival, arrays of shape (N,); inf: not yet."""

    arrival_s: FloatArray
    start_s: FloatArray
    """The first step that computes something for it begins."""
    first_s: FloatArray
    end_s: FloatArray
    input_tokens: IntArray
    output_tokens: IntArray
    preemptions: IntArray

    def after(self, warm_up: int) -> Span:
        """From the end of so many requests to that of the last one; from the start where they end together."""
        ends = np.sort(self.end_s[np.isfinite(self.end_s)])
        start = float(ends[warm_up - 1]) if 0 < warm_up < len(ends) else np.inf
        return Span(start_s=start if start < ends[-1] else float(self.arrival_s[0]), end_s=float(ends[-1]))

    def ended_in(self, span: Span) -> BoolArray:
        """Who ended then."""
        return (self.end_s > span.start_s) & (self.end_s <= span.end_s)

    def mean_in_system(self, span: Span) -> float:
        """Requests that wait or are served, on average over that time."""
        overlap = np.minimum(self.end_s, span.end_s) - np.maximum(self.arrival_s, span.start_s)
        return float(np.maximum(overlap, 0.0).sum() / span.length_s)

    def mean_waiting(self, span: Span) -> float:
        """Requests for which nothing was computed yet."""
        overlap = np.minimum(self.start_s, span.end_s) - np.maximum(self.arrival_s, span.start_s)
        return float(np.maximum(overlap, 0.0).sum() / span.length_s)


def request_times(served: Served) -> RequestTimes:
    """Everybody who arrived."""
    starts, ends = np.append(served.runs.start_s, np.inf), np.append(served.runs.end_s, np.inf)
    table = np.array(
        [
            (r.arrival_run, r.start_run, r.first_token_run, r.end_run, r.input_tokens, r.output_tokens, r.preemptions)
            for r in served.requests
        ],
        np.int64,
    ).reshape(-1, 7)
    arrival_run, start_run, first_run, end_run, inputs, outputs, preemptions = table.T
    came = np.array([r.arrival_s for r in served.requests])
    return RequestTimes(
        arrival_s=np.where(arrival_run >= 0, ends[arrival_run], came),
        start_s=starts[start_run],  # run −1, which is none yet, is the inf at the end
        first_s=ends[first_run],
        end_s=ends[end_run],
        input_tokens=inputs,
        output_tokens=outputs,
        preemptions=preemptions,
    )


def token_gaps(served: Served, span: Span) -> tuple[FloatArray, FloatArray]:
    """Seconds between what two passes yield to a request, and how often: two arrays of shape (K,).

    A pass with accepted drafts yields several tokens at once: that is one gap, as a client sees it. Of a long run of
    passes the gaps are taken at its first, middle and last pass.
    """
    runs = served.runs
    inside = np.flatnonzero((runs.end_s > span.start_s) & (runs.end_s <= span.end_s))
    late = served.gaps[np.isin(served.gaps[:, 0], inside)]
    returns = served.returns[np.isin(served.returns[:, 0], inside)]
    steps, repeat = runs.step_s[inside], runs.repeat[inside]
    requests = runs.decode_requests[inside].astype(np.float64)
    usual_first = runs.decode_requests.copy()
    np.subtract.at(usual_first, late[:, 0], late[:, 2])
    further = np.maximum(repeat - 1, 0) * requests
    first_end = runs.start_s + runs.step_s[:, 0]
    growth = ((steps[:, 2] - steps[:, 0]) / np.maximum(repeat - 1, 1))[:, np.newaxis]
    later = steps + growth * np.array([1.0, 0.5, 0.0])  # the second pass, the middle of those from there on, the last
    values = [steps[:, 0], later.ravel(), first_end[late[:, 0]] - runs.end_s[late[:, 1]]]
    values.append(runs.end_s[returns[:, 0]] - runs.end_s[returns[:, 1]])
    weights = [usual_first[inside], np.repeat(further / 3, 3), late[:, 2], np.ones(len(returns))]
    gaps, counts = np.concatenate(values), np.concatenate(weights).astype(np.float64)
    return gaps[counts > 0], counts[counts > 0]


def mean_in_bins(changes_s: FloatArray, by: FloatArray, edges_s: FloatArray) -> FloatArray:
    """A count that changes by so much at those times (sorted, shape (N,)), averaged over bins: edges has one more."""
    level = np.cumsum(by)
    # Its integral up to t: Σ by·(t − change) over the changes before t.
    moment = np.cumsum(by * changes_s)
    place = np.searchsorted(changes_s, edges_s, side="right") - 1
    seen = place >= 0
    area = np.where(seen, level[place] * edges_s - moment[place], 0.0)
    return np.asarray(np.diff(area) / np.diff(edges_s))
