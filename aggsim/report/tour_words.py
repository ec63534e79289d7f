"""The tour of a first visit: five stops, told with the numbers that are on screen."""

from __future__ import annotations

from dataclasses import dataclass

from aggsim.planning.evaluation import Evaluation
from aggsim.report.format import duration, number
from aggsim.report.titles import memory_use, time_split
from aggsim.report.words import scenario_words, verdict_words

__all__ = ["Stop", "tour_stops"]


@dataclass(frozen=True, slots=True)
class Stop:
    """Where to look, and what is to be seen there."""

    title: str
    words: str


def tour_stops(evaluation: Evaluation) -> list[Stop]:
    """In reading order, about this very answer."""
    run = evaluation.run
    verdict, _ = verdict_words(evaluation)
    split = time_split(evaluation)
    found = "aggsim found" if evaluation.asked.batch is None else "The form gives"
    return [
        Stop(
            "The question, on the left", f"{scenario_words(evaluation)}. Empty fields are filled in for you, in grey."
        ),
        Stop(
            "The verdict, in one line",
            f"{verdict} {found} batch size {number(run.batch_size)}; hover over any number for all its digits.",
        ),
        Stop(
            "The tiles",
            f"First token after {duration(evaluation.ttft_s)}, then one every {duration(run.decode_latency_s)}; "
            f"{number(evaluation.output_tokens_per_s)} output tokens/s and {number(evaluation.requests_per_s)} "
            "requests/s over all devices.",
        ),
        Stop(
            "What bounds it",
            f"{f'{split}. ' if split else ''}{memory_use(evaluation)}. Further down: what would help, by how much.",
        ),
        Stop(
            "The other pages",
            "Timeline: every step of the scheduler. Search: the best layout. Method: where each number comes from. "
            "The address of every page is a link to it.",
        ),
    ]
