"""What is counted of branches is kept where these tests alone find it."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def kept_counts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of the user that begins empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
