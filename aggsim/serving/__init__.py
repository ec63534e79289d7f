"""Many forward passes: what a burst of requests does to a deployment, step by step."""

from aggsim.serving.run import Chunk, ServingRun
from aggsim.serving.schedulers import SCHEDULERS, Scheduler, SchedulerState, StepDecision
from aggsim.serving.simulate import choose_max_batched_tokens, simulate
from aggsim.serving.timeline import Step, Timeline
from aggsim.serving.wave_sweep import WaveRuns, wave_many

__all__ = [
    "SCHEDULERS",
    "Chunk",
    "Scheduler",
    "SchedulerState",
    "ServingRun",
    "Step",
    "StepDecision",
    "Timeline",
    "WaveRuns",
    "choose_max_batched_tokens",
    "simulate",
    "wave_many",
]
