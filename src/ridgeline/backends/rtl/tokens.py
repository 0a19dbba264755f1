"""Counting tokens, kept by the unit that waits for them."""

from __future__ import annotations

from typing import Any

from ridgeline.backends.rtl.hdl import Elaboratable, Module, Mux, Signal, Value

BITS = 16


class Level:
    """How many there are. What says `more` or `fewer` may come late in a cycle: it only chooses between values that are ready before."""

    def __init__(self, most: int, *, name: str, initial: int = 0):
        self.most = most
        self.count = Signal(range(most + 1), name=name, init=initial)
        self.some = Signal(name=f"{name}_some", init=initial > 0)
        self.full = Signal(name=f"{name}_full", init=initial == most)

    def change(self, more: Value, fewer: Value) -> list[Any]:
        differs = more ^ fewer
        return [
            self.count.eq(Mux(differs, Mux(more, self.count + 1, self.count - 1), self.count)),
            self.some.eq(Mux(differs, more | (self.count != 1), self.some)),
            self.full.eq(Mux(differs, more & (self.count == self.most - 1), self.full)),
        ]


class Tokens(Elaboratable):
    """`available` tells that there is at least one; it is up to date in the cycle after `give` or `take`."""

    def __init__(self, *, initial: int = 0):
        self.give = Signal()
        self.take = Signal()
        self.level = Level((1 << BITS) - 1, name="count", initial=initial)
        self.available = self.level.some

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.level.change(self.give, self.take)
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
