"""The tiny network, built once."""

from collections.abc import Generator
from functools import cache
from pathlib import Path

import pytest
from tests.flows import tiny

from ridgeline.backends.rtl import emit
from ridgeline.flows.build import Built, build

emitted = cache(emit)


@pytest.fixture(scope="module", autouse=True)
def emitted_once() -> Generator[None]:
    """Each engine's Verilog is made once a process; a test that it comes out the same takes `emit` itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ridgeline.backends.rtl.emit", emitted)
        yield


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    with tiny.compiling(tmp_path_factory):
        return build(tiny.write(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def copy(built: Built, tmp_path: Path) -> Path:
    """A copy of the output folder, to be damaged."""
    import shutil

    return Path(shutil.copytree(built.out, tmp_path / "copy"))
