"""Engines that another package brings: a package in a folder, found by a new Python as an installed one is."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aggsim.engines.linear import LinearForward
from aggsim.engines.plugins import PluginForward
from aggsim.errors import EngineError
from aggsim.scenario import LinearLaw
from tests.factories import make_group

ROOT = Path(__file__).parent.parent.parent
MODULE = '''
"""One second a pass, and room for everything."""
from aggsim.engines.base import EngineOptions
from aggsim.engines.linear import LinearForward
from aggsim.scenario import LinearLaw

class OneSecond:
    name = "one_second"
    version = "7"
    def availability(self):
        return None
    def supports(self, model, device, layout, quantization, options):
        return "it knows dense models only" if model.is_moe else None
    def bind(self, model, device, layout, quantization, options):
        return LinearForward(law=LinearLaw(fixed_s=1.0, memory_gib=50.0), dp=layout.dp)

class Misnamed(OneSecond):
    name = "somebody_else"

class Failing(OneSecond):
    name = "failing"
    def bind(self, *asked):
        raise RuntimeError("no licence")

class Garbled(OneSecond):
    name = "garbled"
    def bind(self, *asked):
        class Forward:
            warnings = ()
            def cost(self, batch):
                return 1.0
            price = cost
        return Forward()

class Analytic(OneSecond):
    name = "analytic"
'''


class Packages:
    """A folder of installed packages, and the command line in a Python that has it on its path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}

    def add(self, package: str, module: str, **engines: str) -> None:
        """What pip leaves behind of a package: its module and a .dist-info."""
        (self.folder / f"{package}.py").write_text(module)
        info = self.folder / f"{package}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        lines = "".join(f"{name} = {package}:{attribute}\n" for name, attribute in engines.items())
        (info / "entry_points.txt").write_text(f"[aggsim.engines]\n{lines}")

    def aggsim(self, *arguments: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "aggsim", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, cwd=ROOT, check=False)
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def engines(self) -> dict[str, dict[str, Any]]:
        return {row["engine"]: row for row in json.loads(self.aggsim("engines", "--json"))}


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    return Packages(tmp_path)


def test_a_package_brings_an_engine(packages: Packages) -> None:
    packages.add("thirdparty", MODULE, one_second="OneSecond")
    row = packages.engines()["one_second"]
    assert row == {"engine": "one_second", "version": "7 (thirdparty 1.2)", "available": True, "reason": ""}
    answer = json.loads(packages.aggsim("evaluate", "engine=one_second&batch=4&output=11&tpot=none", "--json"))
    assert answer["engine"] == {
        "name": "one_second",
        "version": "7 (thirdparty 1.2)",
        "source": "fitted",
        "asked": "one_second",
        "fallback": None,
        "shares": {"prefill": {"fitted": 1.0}, "decode": {"fitted": 1.0}},
    }
    assert answer["scenario"]["engine"] == "one_second"
    assert answer["decode_latency_ms"] == 1000


def test_what_it_does_not_support_is_said_in_its_words(packages: Packages) -> None:
    packages.add("thirdparty", MODULE, one_second="OneSecond")
    text = packages.aggsim("evaluate", "engine=one_second&model=Qwen/Qwen3-30B-A3B", status=2)
    assert text == "aggsim: engine one_second: it knows dense models only\n"
    assert "auto, analytic, silicon, tensor_cast, linear, one_second" in packages.aggsim(
        "evaluate", "engine=two_seconds", status=2
    )


@pytest.mark.parametrize(
    ("module", "attribute", "reason"),
    [
        ("import nothing_of_this_name", "Any", "loading it failed with ModuleNotFoundError"),
        ("syntax error", "Any", "loading it failed with SyntaxError"),
        ("", "Missing", "loading it failed with AttributeError"),
        ("Thing = 3", "Thing", "loading it failed with TypeError"),
        ("def thing(): raise KeyError('x')", "thing", "loading it failed with KeyError"),
        ("def thing(): return 3", "thing", "broken:thing does not give an Engine"),
        (MODULE, "Misnamed", "gives an engine that calls itself somebody_else"),
    ],
)
def test_a_broken_one_is_one_sentence(packages: Packages, module: str, attribute: str, reason: str) -> None:
    packages.add("broken", module, one_second=attribute)
    packages.add("sound", MODULE, failing="Failing")
    engines = packages.engines()
    assert engines["one_second"]["available"] is False
    assert reason in engines["one_second"]["reason"]
    assert engines["failing"]["available"] is True
    assert engines["analytic"]["available"] is True
    assert reason in packages.aggsim("evaluate", "engine=one_second", status=2)


@pytest.mark.parametrize(
    ("name", "attribute", "sentence"),
    [
        ("failing", "Failing", "binding it failed with RuntimeError: no licence"),
        ("garbled", "Garbled", "it answers with a float, not a"),
    ],
)
def test_one_that_fails_later_is_an_engine_error(packages: Packages, name: str, attribute: str, sentence: str) -> None:
    packages.add("thirdparty", MODULE, **{name: attribute})
    assert f"aggsim: engine {name}: {sentence}" in packages.aggsim("evaluate", f"engine={name}", status=2)


def test_names_are_not_taken_over(packages: Packages) -> None:
    packages.add("thirdparty", MODULE, analytic="Analytic", auto="OneSecond", one_second="OneSecond")
    packages.add("another", MODULE, one_second="OneSecond", **{"Loud-Name": "OneSecond"})
    engines = packages.engines()
    assert "thirdparty" not in engines["analytic"]["version"]
    assert "is the name of an engine that aggsim has itself" in engines["analytic (thirdparty 1.2)"]["reason"]
    assert engines["auto (thirdparty 1.2)"]["available"] is False
    assert engines["one_second"]["reason"] == "another 1.2 and thirdparty 1.2 both bring an engine of this name"
    assert "another way than lower-case" in engines["Loud-Name"]["reason"]
    assert "(thirdparty" not in packages.aggsim("evaluate", "engine=analytic&batch=1")


@pytest.mark.parametrize("changes", [{"source": "guessed"}, {"bound": "luck"}])
def test_a_source_that_nobody_knows_is_refused(changes: dict[str, str]) -> None:
    """It would have no word and no colour on screen."""
    cost = LinearForward(law=LinearLaw(fixed_s=1.0), dp=1).cost((make_group(),))
    odd = dataclasses.replace(cost, ops=(dataclasses.replace(cost.ops[0], **changes),))
    forward = PluginForward(name="odd", forward=SimpleNamespace(cost=lambda _: odd), warnings=())
    with pytest.raises(EngineError, match=f"engine odd: {next(iter(changes.values()))} is no source and no bound"):
        forward.cost((make_group(),))
