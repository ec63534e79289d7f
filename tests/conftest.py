"""No test reads or fills the cache of whoever runs it, and none fails because the machine is slow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("aggsim", deadline=None, derandomize=True)
settings.load_profile("aggsim")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGGSIM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield
