"""The tiny network, built once."""

from pathlib import Path

import pytest
from tests.flows import tiny

from ridgeline.flows.build import Built, build


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    with tiny.compiling(tmp_path_factory):
        return build(tiny.write(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def copy(built: Built, tmp_path: Path) -> Path:
    """A copy of the output folder, to be damaged."""
    import shutil

    return Path(shutil.copytree(built.out, tmp_path / "copy"))
