"""A PATH with only what a bare machine has: no verilator, yosys or nextpnr of the system's."""

import shutil
from pathlib import Path

import pytest

BARE = ("c++", "g++", "clang++", "as", "ld", "ar")


@pytest.fixture
def bare_path(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The PATH holds a C++ compiler and, to be sure that none is used, a verilator and a yosys that fail."""
    folder = tmp_path_factory.mktemp("bin")
    for name in BARE:
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    for name in ("verilator", "verilator_bin", "yosys", "nextpnr-ecp5", "ecppack"):
        (folder / name).write_text("#!/bin/false\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder
