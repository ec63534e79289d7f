"""Keys and values of the store as text, and where the store lies."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggsim.store import StoreStats, cache_key, canonical_json, default_location, default_store
from aggsim.store_disk import encode, pack, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    x: float
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    inner: Inner
    flag: bool | None = None


@dataclass
class Twin:
    x: float
    names: tuple[str, ...] = ()


def test_canonical_json_is_one_text_for_equal_values() -> None:
    assert canonical_json({"b": 1, "a": (1, 2.0, None)}) == '{"a":[1,2.0,null],"b":1}'
    assert canonical_json({"a": [1, 2.0, None], "b": 1}) == canonical_json({"b": 1, "a": (1, 2.0, None)})
    assert canonical_json([float("inf"), -float("inf"), float("nan")]) == "[Infinity,-Infinity,NaN]"
    nested = json.loads(canonical_json(Outer(inner=Inner(x=0.1, names=("a",)))))
    assert nested["@type"].endswith(".Outer")
    assert nested["inner"] == {"@type": nested["@type"].replace("Outer", "Inner"), "x": 0.1, "names": ["a"]}


def test_canonical_json_tells_types_apart() -> None:
    different = [Inner(x=1.0), Twin(1.0), {"x": 1.0, "names": []}, 1, 1.0, True, "1", None, [1], [[1]], {"1": 1}]
    assert len({canonical_json(value) for value in different}) == len(different)


@pytest.mark.parametrize("value", [{1}, b"x", 1j, object(), Inner, {1: "x"}, {"@type": "x"}, [{"a": {2: 3}}], Path()])
def test_canonical_json_refuses_what_it_cannot_tell_apart(value: object) -> None:
    with pytest.raises(TypeError, match="canonical_json"):
        canonical_json(value)


def test_cache_key_depends_on_everything_it_is_given() -> None:
    assert cache_key("s/1", a=1) == sha256(b'{"parts":{"a":1},"schema":"s/1"}').hexdigest()
    keys = [cache_key("s/1", a=1), cache_key("s/2", a=1), cache_key("s/1", b=1), cache_key("s/1", a=1, b=1)]
    assert len(set(keys)) == len(keys)
    assert cache_key("s/1", a=1, b=2) == cache_key("s/1", b=2, a=1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_a_value_reads_back_as_it_was(value: object) -> None:
    assert repr(unpack(b"key", pack(b"key", encode(value)))) == repr(value)


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.cache/aggsim"),
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/aggsim"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "home/.cache/aggsim"),
        ("linux", {"AGGSIM_CACHE_DIR": "/here", "XDG_CACHE_HOME": "/xdg"}, "/here"),
        ("linux", {"AGGSIM_CACHE_DIR": ""}, "home/.cache/aggsim"),
        ("darwin", {"XDG_CACHE_HOME": "/xdg"}, "home/Library/Caches/aggsim"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/aggsim"),
    ],
)
def test_location(monkeypatch, tmp_path: Path, platform: str, variables: dict[str, str], expected: str) -> None:
    for name in ("AGGSIM_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "platform", platform)
    assert default_location() == tmp_path / expected


def test_off_means_no_cache(monkeypatch, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGGSIM_CACHE_DIR", "off")
    default_store.cache_clear()
    store = default_store()
    assert store is default_store()
    default_store.cache_clear()
    assert [store.get_or_compute("k", lambda n=n: (n,)) for n in range(2)] == [[0], [1]]
    store.put("k", 1)
    store.clear()
    assert store.get("k") is None
    assert store.stats() == StoreStats(entries=0, size_bytes=0, location=None, problem=None)
    assert list(tmp_path.iterdir()) == []
    assert caplog.records == []
