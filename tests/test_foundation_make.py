"""`make demo` on a machine that lacks something says it in one line, before anything is made."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OLD = "#!/bin/sh\ncase $* in *version_info*) exit 1;; esac\n"
WITHOUT_VENV = "#!/bin/sh\ncase $* in *ensurepip*) exit 1;; esac\n"


@pytest.mark.parametrize(
    ("programs", "pythons", "message"),
    [
        ([], {"python3": None}, "missing: a C++ compiler; on Debian or Ubuntu: apt install g++"),
        (["c++"], {}, "missing: Python 3.11 or newer; on Debian or Ubuntu: apt install python3 python3-venv"),
        (
            ["c++"],
            {"python3": OLD},
            "missing: Python 3.11 or newer (python3 is older); on Debian or Ubuntu: apt install python3 python3-venv",
        ),
        (
            ["c++"],
            {"python3.12": WITHOUT_VENV},
            "missing: python3.12 has no ensurepip or venv; on Debian or Ubuntu: apt install python3-venv",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path: Path, programs: list[str], pythons: dict[str, str | None], message: str) -> None:
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("sh", "make"):
        found = shutil.which(name)
        assert found is not None, f"{name} runs the tests"
        (path / name).symlink_to(found)
    for name in programs:
        (path / name).symlink_to(sys.executable)
    for name, script in pythons.items():
        (path / name).write_text(script or "#!/bin/sh\n")
        (path / name).chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    ended = subprocess.run(
        ["make", "demo"], cwd=tmp_path, env={**environment, "PATH": str(path)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    said = [line for line in ended.stderr.splitlines() if not line.startswith("make")]
    assert said == [message]
    assert not (tmp_path / ".venv").exists()
