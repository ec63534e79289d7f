"""The house rules that a reader would otherwise have to trust: import arrows, late imports, file sizes."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([ROOT / "app.py", *ROOT.glob("pages/*.py"), *ROOT.glob("aggsim/**/*.py")])
SOURCES = [path for path in SOURCES if path.exists()]
NAMES = [str(path.relative_to(ROOT)) for path in SOURCES]

# Bottom to top: a part imports from the rows below its own (and from itself), never sideways or upwards.
ROWS = (
    {"errors", "units"},
    {"parameters", "codec", "packages"},
    {"scenario"},
    {"models", "devices"},
    {"forward"},
    {"engines"},
    {"serving"},
    {"planning", "store"},
    {"service"},
    {"ui"},
    {"pages"},
    {"app"},
)
# Beside the column: what these may import. report sees results, not who computes or keeps them.
BESIDE = {
    "share": {"scenario", "parameters", "errors"},
    "report": {
        *("share", "planning", "serving", "forward", "models", "devices"),
        *("scenario", "parameters", "units", "errors"),
    },
    "cli": {"share", "report", *set.union(*ROWS[: ROWS.index({"service"}) + 1])},
    "__main__": {"cli"},
    "__init__": set(),
}
MAY_USE_SHARE_AND_REPORT = {"ui", "pages", "app"}
ALLOWED = {
    part: set.union(set(), *ROWS[:i]) | (set() if part not in MAY_USE_SHARE_AND_REPORT else {"share", "report"})
    for i, row in enumerate(ROWS)
    for part in row
} | BESIDE

ONLY_IN = {
    "streamlit": ("app", "pages", "ui"),
    "pandas": ("app", "pages", "ui", "report"),
    "altair": ("app", "pages", "ui", "report"),
    "diskcache": ("store",),
}
ADAPTERS = {
    "torch": "aggsim/engines/tensor_cast",
    "tensor_cast": "aggsim/engines/tensor_cast",
    "aiconfigurator_core": "aggsim/engines/silicon",
}
"""Heavy packages: only in their adapter and only inside functions."""
MAX_LINES = {"pages": 80, "parameters": 330}
"""parameters is one long table."""
MAX_LINES_ELSEWHERE = 300


def part_of(path: Path) -> str:
    """pages, app, or the part of aggsim a file belongs to: store_disk.py is of store."""
    first, *rest = path.relative_to(ROOT).with_suffix("").parts
    return part_named(rest[0]) if first == "aggsim" else first


def part_named(name: str) -> str:
    return name if name.startswith("__") else name.partition("_")[0]


def imports(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """(dotted module or name in it, whether at module level); relative imports come out as they are, with dots."""
    late = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node not in late
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield f"{module}.{alias.name}", node not in late


def wrong_arrows(part: str, tree: ast.Module) -> list[str]:
    found = []
    for name, _ in imports(tree):
        head, *rest = name.split(".")
        if head in ("", "app", "pages"):
            found.append(f"{name}: relative imports, app and pages are never imported")
        elif head == "aggsim" and rest and part_named(rest[0]) not in {part, *ALLOWED[part], "__version__"}:
            found.append(f"{part} → {rest[0]}")
    return found


def misplaced(path: Path, tree: ast.Module) -> list[str]:
    found = []
    for name, at_top in imports(tree):
        head = name.split(".")[0]
        if head in ONLY_IN and part_of(path) not in ONLY_IN[head]:
            found.append(f"{head} belongs to {', '.join(ONLY_IN[head])}")
        if head in ADAPTERS:
            if not str(path.relative_to(ROOT)).startswith(ADAPTERS[head]):
                found.append(f"{head} belongs to {ADAPTERS[head]}")
            if at_top:
                found.append(f"{head} is imported inside functions only")
    return found


def forbidden(tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            found.append(f"line {node.lineno}: assert")
        if isinstance(node, ast.ExceptHandler):
            caught = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"bare"}
            if caught & {"bare", "Exception", "BaseException"}:
                found.append(f"line {node.lineno}: except {', '.join(sorted(caught))}")
    return found


@pytest.fixture(params=SOURCES, ids=NAMES)
def source(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_imports_go_one_way(source: Path) -> None:
    assert part_of(source) in ALLOWED, "a part that the design does not know"
    assert wrong_arrows(part_of(source), ast.parse(source.read_text())) == []


def test_packages_stay_where_they_belong(source: Path) -> None:
    assert misplaced(source, ast.parse(source.read_text())) == []


def test_no_assert_and_no_catch_all(source: Path) -> None:
    assert forbidden(ast.parse(source.read_text())) == []


def test_files_are_short(source: Path) -> None:
    limit = MAX_LINES.get(part_of(source), MAX_LINES_ELSEWHERE)
    assert len(source.read_text().splitlines()) <= limit


def test_the_arrows_have_no_cycle() -> None:
    for one, other in itertools.combinations(ALLOWED, 2):
        assert not (other in ALLOWED[one] and one in ALLOWED[other])


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ("forward", "from aggsim.engines import ENGINES"),
        ("planning", "import aggsim.service"),
        ("models", "def f():\n    from aggsim.devices.spec import DeviceSpec"),
        ("scenario", "from aggsim import share"),
        ("report", "from aggsim import service"),
        ("serving", "from . import wave"),
        ("ui", "import pages.plan"),
        ("service", "from aggsim.report.rows import result_row"),
    ],
)
def test_a_wrong_arrow_is_seen(part: str, code: str) -> None:
    assert wrong_arrows(part, ast.parse(code))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("aggsim/service.py", "import streamlit as st"),
        ("aggsim/report/rows.py", "from streamlit.delta_generator import DeltaGenerator"),
        ("aggsim/cli/evaluate.py", "import pandas"),
        ("aggsim/engines/analytic.py", "def f():\n    import torch"),
        ("aggsim/engines/tensor_cast.py", "import torch"),
    ],
)
def test_a_misplaced_package_is_seen(path: str, code: str) -> None:
    assert misplaced(ROOT / path, ast.parse(code))


def test_a_late_import_in_its_adapter_is_fine() -> None:
    assert misplaced(ROOT / "aggsim/engines/tensor_cast.py", ast.parse("def f():\n    import torch")) == []


@pytest.mark.parametrize(
    "code",
    [
        "assert x > 0",
        "try:\n    f()\nexcept:\n    pass",
        "try:\n    f()\nexcept (ValueError, Exception) as e:\n    pass",
    ],
)
def test_a_forbidden_statement_is_seen(code: str) -> None:
    assert forbidden(ast.parse(code))
