"""Engines of other packages: entry points of group `aggsim.engines`.

    [project.entry-points."aggsim.engines"]
    my_engine = "my_package:MyEngine"

The name is the engine's; the object is called without arguments and gives an Engine (see base.py) of that name. What
goes wrong in foreign code is a sentence of an EngineError, or the reason why the engine cannot be used here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar, get_args

from aggsim.devices.spec import DeviceSpec
from aggsim.engines.base import Engine, EngineOptions, ForwardModel
from aggsim.errors import EngineError
from aggsim.forward.batch import Batch, Batches
from aggsim.forward.cost import Bound, ForwardCost, Prices, Source
from aggsim.models.spec import ModelSpec
from aggsim.parameters import NAME
from aggsim.parameters_choices import ENGINE_NAMES
from aggsim.scenario import ParallelLayout, Quantization

__all__ = ["GROUP", "PluginEngine", "PluginForward", "clashes", "load_plugin", "plugins"]

GROUP = "aggsim.engines"
FOREIGN_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError),
    *(RuntimeError, SyntaxError, TypeError, ValueError),
)
"""What code of others may raise, as far as Python names it."""
_T = TypeVar("_T")


@functools.cache
def plugins() -> dict[str, tuple[EntryPoint, ...]]:
    """Name → who claims it: more than one, or a name of our own, and none of them is used."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, _package(point))):
        if point not in found.get(point.name, ()):
            found[point.name] = (*found.get(point.name, ()), point)
    return found


def load_plugin(points: tuple[EntryPoint, ...]) -> PluginEngine:
    """The engine of an entry point, or one that only says why it cannot be used."""
    point = points[0]
    packages = " and ".join(_package(point) for point in points)
    if len(points) > 1:
        return PluginEngine(name=point.name, package=packages, problem=f"{packages} both bring an engine of this name")
    if not NAME.fullmatch(point.name):
        problem = f"{packages} names it in another way than lower-case letters, digits and underscores, 40 at most"
        return PluginEngine(name=point.name, package=packages, problem=problem)
    try:
        with _foreign(point.name, "loading it"):
            engine = point.load()()
            if not isinstance(engine, Engine):
                raise EngineError(point.name, f"{point.value} does not give an Engine (see aggsim.engines.base)")
            if engine.name != point.name:
                raise EngineError(point.name, f"{point.value} gives an engine that calls itself {engine.name}")
            version = str(engine.version)
    except EngineError as error:
        return PluginEngine(name=point.name, package=packages, problem=f"{error.reason} ({packages})")
    return PluginEngine(name=point.name, package=packages, engine=engine, own_version=version)


def clashes() -> dict[str, str]:
    """What claims a name of our own → why it is not used."""
    return {
        f"{name} ({_package(point)})": f"{name} is the name of an engine that aggsim has itself"
        for name, points in plugins().items()
        if name in ENGINE_NAMES
        for point in points
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginEngine:
    """An Engine of another package (None: it could not be loaded), held to the contract."""

    name: str
    package: str
    engine: Engine | None = None
    problem: str = ""
    own_version: str = ""

    @property
    def version(self) -> str:
        """The engine's, and the package's: an upgraded package never repeats what it used to say."""
        return f"{self.own_version} ({self.package})".lstrip()

    @property
    def slow(self) -> bool:
        """A pass takes seconds: each is kept."""
        return bool(getattr(self.engine, "slow", False))

    def availability(self) -> str | None:
        return self.problem or self._reason(lambda engine: engine.availability())

    def supports(
        self,
        model: ModelSpec,
        device: DeviceSpec,
        layout: ParallelLayout,
        quantization: Quantization,
        options: EngineOptions,
    ) -> str | None:
        asked = (model, device, layout, quantization, options)
        return self.problem or self._reason(lambda engine: engine.supports(*asked))

    def bind(
        self,
        model: ModelSpec,
        device: DeviceSpec,
        layout: ParallelLayout,
        quantization: Quantization,
        options: EngineOptions,
    ) -> PluginForward:
        if self.engine is None:
            raise EngineError(self.name, self.problem)
        with _foreign(self.name, "binding it"):
            forward = self.engine.bind(model, device, layout, quantization, options)
            return PluginForward(name=self.name, forward=forward, warnings=tuple(map(str, forward.warnings)))

    def _reason(self, ask: Callable[[Engine], str | None]) -> str | None:
        if self.engine is None:
            return self.problem
        try:
            with _foreign(self.name, "asking it"):
                reason = ask(self.engine)
                return str(reason) if reason else None
        except EngineError as error:
            return error.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginForward:
    """A ForwardModel of another package; what it raises is an EngineError."""

    name: str
    forward: ForwardModel
    warnings: tuple[str, ...]

    def cost(self, batch: Batch) -> ForwardCost:
        cost = self._checked(ForwardCost, lambda: self.forward.cost(batch))
        used = {str(word) for op in cost.ops for word in (op.source, op.bound)} | {str(cost.source)}
        known = (*get_args(Source), *get_args(Bound))
        if strange := used - {*known}:
            words = ", ".join(sorted(strange))
            raise EngineError(self.name, f"{words} is no source and no bound ({', '.join(known)})")
        return cost

    def price(self, batches: Batches | Iterable[Batch]) -> Prices:
        return self._checked(Prices, lambda: self.forward.price(batches))

    def _checked(self, kind: type[_T], price: Callable[[], _T]) -> _T:
        with _foreign(self.name, "pricing a pass"):
            priced = price()
            if not isinstance(priced, kind):
                raise EngineError(self.name, f"it answers with a {type(priced).__name__}, not a {kind.__name__}")
            return priced


@contextmanager
def _foreign(name: str, doing: str) -> Iterator[None]:
    try:
        yield
    except FOREIGN_ERRORS as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise EngineError(name, f"{doing} failed with {words.rstrip('.: ')}") from error


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed package"
