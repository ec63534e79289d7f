"""Which field of the form an error belongs to."""

from __future__ import annotations

from aggsim.errors import AggsimError, EngineError, InputError, UnsupportedModelError
from aggsim.scenario import PARAMETER


def blamed_field(error: AggsimError) -> str:
    """A Scenario key; "" where no single field is at fault."""
    match error:
        case InputError():
            return error.field if error.field in PARAMETER else ""
        case EngineError():
            return "engine"
        case UnsupportedModelError():
            return "model"
    return ""
