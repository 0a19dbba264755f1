"""Output folders appear whole or not at all."""

import errno
import os
import re
from pathlib import Path

import pytest

from ridgeline.errors import InputError
from ridgeline.flows.folder import MARKER, output_folder


def made(out: Path, text: str = "new") -> None:
    with output_folder(out) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text(text)


def test_absent_empty_and_own_folders_are_taken(tmp_path: Path) -> None:
    made(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "deep" / "file").read_text() == "new"
    (tmp_path / "empty").mkdir()
    made(tmp_path / "empty")
    made(tmp_path / "empty", "newer")
    assert (tmp_path / "empty" / "deep" / "file").read_text() == "newer"
    assert sorted(os.listdir(tmp_path)) == ["a", "empty"]
    assert sorted(os.listdir(tmp_path / "empty")) == [MARKER, "deep"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_unfinished_run_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    made(tmp_path / "out", "old")

    def unfinished(out: Path) -> None:
        with output_folder(out) as folder:
            (folder / "half").write_text("half")
            raise error

    for out in (tmp_path / "out", tmp_path / "other"):
        with pytest.raises(error):
            unfinished(out)
    assert os.listdir(tmp_path) == ["out"]
    assert (tmp_path / "out" / "deep" / "file").read_text() == "old"


def test_the_current_folder_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "here"
    out.mkdir()
    place = out.stat().st_ino
    monkeypatch.chdir(out)
    made(Path())
    made(Path(), "newer")
    assert out.stat().st_ino == place
    assert Path("deep", "file").read_text() == "newer"
    assert (sorted(os.listdir()), os.listdir(tmp_path)) == ([MARKER, "deep"], ["here"])


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    def full(out: Path) -> None:
        with output_folder(out):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match=f"cannot be written: No space left on device, in '{tmp_path}' or '"):
        full(tmp_path / "out")
    assert os.listdir(tmp_path) == []


def test_a_mount_point_is_refused_before_the_work() -> None:
    message = "'/proc' is a mount point, which cannot be replaced; give a folder inside it with --out"
    with pytest.raises(InputError, match=message), output_folder(Path("/proc")):
        pass


def test_foreign_files_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    message = f"output folder '{tmp_path}' holds files that Ridgeline did not make ('mine.txt'); empty it or give another with --out"
    with pytest.raises(InputError, match=re.escape(message)), output_folder(tmp_path):
        pass
    made(tmp_path / "out")
    (tmp_path / "out" / "deep" / "notes").mkdir()
    with pytest.raises(InputError, match=r"holds 'deep/notes', which Ridgeline did not make; move it or give another folder with --out"):
        made(tmp_path / "out")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_file_that_comes_while_the_run_lasts_is_kept(tmp_path: Path) -> None:
    made(tmp_path / "out")
    with pytest.raises(InputError, match="holds 'mine', which"), output_folder(tmp_path / "out"):
        (tmp_path / "out" / "mine").write_text("mine")
    assert (tmp_path / "out" / "mine").read_text() == "mine"
    assert os.listdir(tmp_path) == ["out"]


def test_a_damaged_marker_protects(tmp_path: Path) -> None:
    made(tmp_path / "out")
    (tmp_path / "out" / MARKER).write_text("?")
    with pytest.raises(InputError, match="holds files that Ridgeline did not make"):
        made(tmp_path / "out")


def test_what_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is no folder; give another with --out"):
        made(tmp_path / "file")
    with pytest.raises(InputError, match=r"cannot be made in '.*file': Not a directory; give another with --out"):
        made(tmp_path / "file" / "out")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="is a link, which would be replaced; give"):
        made(tmp_path / "link")
    with pytest.raises(InputError, match="cannot be made in '/proc'"):
        made(Path("/proc/ridgeline-out"))


def test_others_may_read_it(tmp_path: Path) -> None:
    made(tmp_path / "out")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode
