"""Boards in a line as a user names them, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from ridgeline.errors import InputError
from ridgeline.flows.boards import is_line, read_boards, read_link
from ridgeline.flows.options import Options
from ridgeline.hardware.device import DEVICES

OPTIONS = Options(network="alexnet", out=Path())


@pytest.mark.parametrize(
    ("device", "count", "expected"),
    [
        ("vc709", 3, ["vc709"] * 3),
        ("vc709", 1, ["vc709"]),
        ("vc709:1", None, ["vc709"]),
        ("vc709:2,zcu102", None, ["vc709", "vc709", "zcu102"]),
        (" zcu102 , vc709:1 ,zcu102:2", None, ["zcu102", "vc709", "zcu102", "zcu102"]),
        (str(DEVICES / "vc709.toml"), 2, ["vc709"] * 2),
        (f"{DEVICES / 'vc709.toml'}:2,zcu102", None, ["vc709", "vc709", "zcu102"]),
    ],
)
def test_boards(device: str, count: int | None, expected: list[str]) -> None:
    options = replace(OPTIONS, device=device, count=count)
    assert is_line(options)
    assert [board.name for board in read_boards(options)] == expected


def test_one_board_is_no_line() -> None:
    assert not is_line(replace(OPTIONS, device="vc709"))
    assert not is_line(replace(OPTIONS, device=str(DEVICES / "vc709.toml")))


def test_a_clock_for_all() -> None:
    assert {board.clock_mhz for board in read_boards(replace(OPTIONS, device="vc709,zcu102", clock_mhz=150))} == {150}


@pytest.mark.parametrize(
    ("device", "count", "message"),
    [
        ("vc709:0", None, "--device 'vc709:0': 'vc709:0' counts 0 boards; give 1 or more"),
        ("zcu102,vc709:-2", None, "--device 'zcu102,vc709:-2': 'vc709:-2' counts -2 boards; give 1 or more"),
        ("vc709:4,vc70", None, "unknown device 'vc70'; did you mean 'vc709'?"),
        ("vc709,zcu102:x", None, "unknown device 'zcu102:x'; did you mean 'zcu102'?"),
        ("vc709,,zcu102", None, "--device 'vc709,,zcu102' names no device before or after a comma; write it as vc709:4,zcu102:2"),
        (",", None, "--device ',' names no device before or after a comma; write it as vc709:4,zcu102:2"),
        (":3", None, "--device ':3' names no device before or after a comma; write it as vc709:4,zcu102:2"),
        ("vc709:2000000000", None, "--device 'vc709:2000000000' counts 2,000,000,000 boards; a line has at most 1,000"),
        ("vc709", 0, "--count is 0; it must be in 1..1,000"),
        ("vc709", -1, "--count is -1; it must be in 1..1,000"),
        ("vc709", 1001, "--count is 1001; it must be in 1..1,000"),
        ("vc709:2", 2, "--count 2 and --device 'vc709:2' both count the boards; give one device, or no --count"),
        ("vc709,zcu102", 2, "--count 2 and --device 'vc709,zcu102' both count the boards; give one device, or no --count"),
        ("nowhere.toml,vc709", None, "device file 'nowhere.toml' does not exist"),
    ],
)
def test_refused_boards(device: str, count: int | None, message: str) -> None:
    options = replace(OPTIONS, device=device, count=count)
    assert is_line(options)
    with pytest.raises(InputError) as error:
        read_boards(options)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("speed", "message"),
    [
        (None, "a line of 3 boards needs --link-gb-per-s, the speed of a link between two, such as 1.25"),
        (0.0, "--link-gb-per-s is 0; it must be in 0.000001..1,000,000"),
        (-1.25, "--link-gb-per-s is -1.25; it must be in 0.000001..1,000,000"),
        (float("nan"), "--link-gb-per-s is nan; it must be in 0.000001..1,000,000"),
        (float("inf"), "--link-gb-per-s is inf; it must be in 0.000001..1,000,000"),
    ],
)
def test_refused_links(speed: float | None, message: str) -> None:
    with pytest.raises(InputError) as error:
        read_link(replace(OPTIONS, link_gb_per_s=speed), 3)
    assert str(error.value) == message


def test_links() -> None:
    assert read_link(replace(OPTIONS, link_gb_per_s=1.25), 2) == 1.25e9
    assert read_link(OPTIONS, 1) is None
    with pytest.raises(InputError, match="--link-gb-per-s is for boards in a line"):
        is_line(replace(OPTIONS, link_gb_per_s=1.25))
