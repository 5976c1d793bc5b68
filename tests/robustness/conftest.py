"""One zygote serves all tests of this folder."""

from collections.abc import Iterator

import pytest
from killing import Zygote


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    started = Zygote(tmp_path_factory.mktemp("zygote") / "log.txt")
    yield started
    started.close()
