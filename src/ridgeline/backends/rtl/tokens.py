"""Counting tokens, kept by the unit that waits for them."""

from __future__ import annotations

from typing import Any

from ridgeline.backends.rtl.hdl import Elaboratable, Module, Signal

BITS = 16


class Tokens(Elaboratable):
    """`available` tells that there is at least one; it is up to date in the cycle after `give` or `take`."""

    def __init__(self, *, initial: int = 0):
        self.give = Signal()
        self.take = Signal()
        self.count = Signal(BITS, init=initial)
        self.available = Signal(init=initial > 0)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        following = Signal(BITS)
        m.d.comb += following.eq(self.count + self.give - self.take)
        m.d.sync += [self.count.eq(following), self.available.eq(following != 0)]
        return m


class Countdown:
    """Counts `load`'s number of steps; `last` is high during the last one."""

    def __init__(self, bits: int, name: str):
        self.left = Signal(bits, name=f"{name}_left")
        self.last = Signal(name=f"{name}_last")

    def load(self, count: Any) -> list[Any]:
        return [self.left.eq(count), self.last.eq(count == 1)]

    def step(self) -> list[Any]:
        return [self.left.eq(self.left - 1), self.last.eq(self.left == 2)]
