"""No test reads or fills the cache of whoever runs it, and none fails because the machine is slow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from aggsim import service
from aggsim.store import default_store

settings.register_profile("aggsim", deadline=None, derandomize=True)
settings.load_profile("aggsim")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGGSIM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty store of the test's own."""
    monkeypatch.setenv("AGGSIM_CACHE_DIR", str(tmp_path / "cache"))
    default_store.cache_clear()
    service.forget()
    yield
    default_store().close()
    default_store.cache_clear()
    service.forget()
