"""The foundation: the errors' tree, registries, the public names, and the layer contract's teeth."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ridgeline
from ridgeline import errors
from ridgeline.errors import InputError, RidgelineError, ToolError, UnknownNameError, nearest, unknown_name
from ridgeline.registry import Registry, resolve

ROOT = Path(__file__).parents[1]


def test_exit_codes() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, RidgelineError)]
    assert {error.__name__: error.exit_code for error in classes} == {
        "CheckFailedError": 1,
        "DoesNotFitError": 2,
        "InputError": 2,
        "MissingToolError": 2,
        "RidgelineError": 2,
        "ToolError": 2,
        "UnknownNameError": 2,
        "UnsupportedError": 2,
    }


def test_unknown_name_suggests_the_nearest() -> None:
    known = ("ulx3s-85f", "ku060")
    assert str(unknown_name("device", "ulx3s-85", known)) == "unknown device 'ulx3s-85'; did you mean 'ulx3s-85f'?"
    assert str(unknown_name("device", "KU060", known)) == "unknown device 'KU060'; did you mean 'ku060'?"
    assert str(unknown_name("device", "zzz", known)) == "unknown device 'zzz'; known: ku060, ulx3s-85f"
    assert str(unknown_name("device", "zzz", ())) == "unknown device 'zzz'; known: none"


@given(st.lists(st.text(min_size=1), min_size=1), st.data())
def test_nearest_of_a_known_name_is_a_known_name_that_reads_the_same(known: list[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(known))
    found = nearest(name, known)
    assert found in known
    assert found.casefold() == name.casefold()


def test_tool_error_names_its_log() -> None:
    assert str(ToolError("yosys failed", log=Path("out/yosys.log"))) == "yosys failed; its log: out/yosys.log"
    assert str(ToolError("yosys failed")) == "yosys failed"


def test_registry_loads_by_address() -> None:
    paths = Registry(kind="path", built_in={"posix": "pathlib:PurePosixPath", "windows": "pathlib:PureWindowsPath"})
    assert paths.names() == ("posix", "windows")
    assert paths.load("posix").__name__ == "PurePosixPath"
    with pytest.raises(UnknownNameError, match="unknown path 'posx'; did you mean 'posix'"):
        paths.load("posx")


def test_registry_reads_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    points = [EntryPoint(name=name, value=f"pathlib:{name}", group="ridgeline.path") for name in ("Path", "PurePath")]
    monkeypatch.setattr("ridgeline.registry.entry_points", lambda group: points if group == "ridgeline.path" else [])
    paths = Registry(kind="path", built_in={"Path": "collections:deque"})
    assert paths.names() == ("Path", "PurePath")
    assert paths.load("PurePath").__name__ == "PurePath"
    assert paths.load("Path").__name__ == "deque", "a built-in name wins over a plug-in's"


@pytest.mark.parametrize("address", ["pathlib", "no_such_module:X", "pathlib:NoSuchName"])
def test_bad_addresses(address: str) -> None:
    with pytest.raises(InputError, match=f"address '{address}'"):
        resolve(address)


def test_public_names() -> None:
    names = [name for name in dir(ridgeline) if not name.startswith("_")]
    assert len(names) <= 25
    for name in names:
        assert getattr(ridgeline, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        ridgeline.nonsense  # noqa: B018


def test_import_is_quick_and_loads_nothing_heavy() -> None:
    code = "import sys, ridgeline; print(','.join({'numpy', 'onnx', 'numba', 'amaranth', 'msgspec', 'click'} & set(sys.modules)))"
    quickest = 9.0
    for _ in range(3):
        begin = time.perf_counter()
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        quickest = min(quickest, time.perf_counter() - begin)
        assert ended.stdout.strip() == ""
    # 0.2 s is the promise for the import alone; here the interpreter's own start and a busy machine come on top.
    assert quickest < 2.0


@pytest.mark.parametrize(
    ("file", "text", "contract"),
    [
        ("algorithm/intruder.py", "import ridgeline.hardware.device\n", "arrows"),
        ("tools/intruder.py", "import ridgeline.backends\n", "arrows"),
        ("errors.py", "import ridgeline.registry\n", "arrows"),
        ("mapping/intruder.py", "import onnxruntime\n", "ONNX"),
        ("algorithm/onnx/friend.py", "import onnx\n", ""),
    ],
)
def test_the_layer_contract_bites(tmp_path: Path, file: str, text: str, contract: str) -> None:
    for room in ("algorithm", "algorithm/onnx", "hardware", "mapping", "backends", "tools"):
        (tmp_path / "ridgeline" / room).mkdir(parents=True, exist_ok=True)
        (tmp_path / "ridgeline" / room / "__init__.py").touch()
    for module in ("__init__.py", "errors.py", "registry.py", "hardware/device.py"):
        (tmp_path / "ridgeline" / module).touch()
    (tmp_path / "ridgeline" / file).write_text(text)
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from importlinter.cli import lint_imports; sys.exit(lint_imports("
    program += f"config_filename={str(ROOT / 'pyproject.toml')!r}, cache_dir=None))"
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    broken = [line for line in ended.stdout.splitlines() if line.endswith("BROKEN")]
    assert [contract in line for line in broken] == ([True] if contract else []), ended.stdout + ended.stderr
    assert ended.returncode == (1 if contract else 0)


def test_constraints_pin_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert len(lines) > 30
    for line in lines:
        name, equals, version = line.partition("==")
        assert equals, line
        assert name.replace("-", "").replace("_", "").replace(".", "").isalnum(), line
        assert version[:1].isdigit(), line
        assert not set("/@:; ") & set(line), line


def test_every_dependency_is_pinned() -> None:
    import re
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {re.split(r"[\[<>=]", name)[0] for name in wanted} <= pinned
