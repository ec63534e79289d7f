"""Every exception aggsim raises on purpose.

    AggsimError
    ├── InputError              a field of the question is wrong: field, value, what is allowed
    ├── UnsupportedModelError   a config.json we do not understand: architecture, field
    ├── EngineError             an engine cannot answer: engine, reason
    ├── NoProgressError         a scheduler decided to do nothing with work waiting
    └── CancelledError          long work that somebody stopped

Pages and the command line catch AggsimError and nothing else.
"""

from __future__ import annotations

__all__ = ["AggsimError", "CancelledError", "EngineError", "InputError", "NoProgressError", "UnsupportedModelError"]


class AggsimError(Exception):
    """Base of everything a user may cause; its text is one sentence fit for the screen."""


class InputError(AggsimError):
    """A bad value: names the field (a Scenario key), the value as given and what is allowed."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field = field
        self.value = value
        self.allowed = allowed
        super().__init__(f"{field}: {_shown(value)} is not possible; allowed: {allowed}")


class UnsupportedModelError(AggsimError):
    """A model description that cannot be priced: names the architecture and the field at fault."""

    def __init__(self, architecture: str, field: str, reason: str) -> None:
        self.architecture = architecture
        self.field = field
        self.reason = reason
        super().__init__(f"{architecture or 'this model'}: {field}: {reason}")


class EngineError(AggsimError):
    """An engine that cannot answer this question, and why."""

    def __init__(self, engine: str, reason: str) -> None:
        self.engine = engine
        self.reason = reason
        super().__init__(f"engine {engine}: {reason}")


class NoProgressError(AggsimError):
    """A scheduler step that runs neither prefill nor decode although requests wait."""


class CancelledError(AggsimError):
    """Long work that was stopped on request; what it found so far is not an answer."""


def _shown(value: object, limit: int = 80) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return f'"{text[:limit]}…"' if len(text) > limit else f'"{text}"'
