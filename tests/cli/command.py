"""A command in this process: its exit status and what it printed."""

import pytest

from ridgeline.cli import main


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """(exit status, stdout, stderr)."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, out, err


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line of a request that cannot be carried out."""
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert err.startswith("ridgeline: ")
    assert err.count("\n") == 1
    return err.removeprefix("ridgeline: ").rstrip("\n")
