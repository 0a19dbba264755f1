"""Which node runs where: all on the engine but, at an end of the network, what only the host can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from ridgeline.algorithm.graph import Port
from ridgeline.algorithm.onnx.convert import CONVERTERS, ELEMENTWISE, LAYOUT
from ridgeline.algorithm.onnx.convert.scales import quantisation_of
from ridgeline.algorithm.onnx.evaluate import evaluate
from ridgeline.algorithm.onnx.host import HOSTED
from ridgeline.algorithm.onnx.lowering import Constant, Lowering, Value
from ridgeline.algorithm.onnx.simplify import GROWING
from ridgeline.algorithm.onnx.step import RefusedError, Step
from ridgeline.errors import UnsupportedError

FLOAT32 = "FLOAT"
_LARGEST_CONSTANT = 1 << 27  # elements


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """The simplified file: its nodes, constants, and the shape (batch included) and type of each value where known."""

    batch: int
    steps: tuple[Step, ...]
    constants: Mapping[str, Constant]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placement:
    """The engine's part as built, and the indices of the nodes of the host's parts with the reasons."""

    lowering: Lowering
    outputs: tuple[Port, ...]  # of the engine's part
    front: tuple[int, ...]
    back: tuple[int, ...]
    reasons: Mapping[int, str]


def place(source: Source) -> Placement:
    """Lowers all nodes; those that fail and may run on the host go there with all that lies outward of them, until none fails.

    Raises UnsupportedError with one line for each node that can run nowhere.
    """
    front: dict[int, str] = {}
    back: dict[int, str] = {}
    while True:
        attempt = _Attempt(source=source, front=frozenset(front), back=frozenset(back))
        failed = attempt.run()
        if not failed:
            return Placement(
                lowering=attempt.lowering,
                outputs=tuple(attempt.ports.values()),
                front=tuple(sorted(front)),
                back=tuple(sorted(back)),
                reasons=front | back,
            )
        stuck: list[str] = []
        for index, error in failed.items():
            moved = _moved(source, index, error.why) if isinstance(error, RefusedError) and not error.final else None
            if moved is None:
                stuck.append(f"{source.steps[index].source}: {error}" if index >= 0 else str(error))
            else:
                side, reasons = moved
                target = back if side == "back" else front
                target.update({key: reason for key, reason in reasons.items() if key not in target})
        if stuck:
            raise UnsupportedError("\n".join(stuck))


def _moved(source: Source, index: int, reason: str) -> tuple[str, dict[int, str]] | None:
    """The side on which a node can run on the host, and the nodes that go with it."""
    if index < 0 or source.steps[index].key not in HOSTED:
        return None
    for side in ("back", "front"):
        reached = _outward(source, index, side)
        if all(source.steps[each].key in HOSTED for each in reached):
            name = source.steps[index].source
            place_word = "after" if side == "back" else "before"
            return side, {each: reason if each == index else f"it lies {place_word} {name}, which runs on the host" for each in reached}
    return None


def _outward(source: Source, index: int, side: str) -> set[int]:
    """The node and all dynamic nodes between it and the network's outputs ("back") or inputs ("front")."""
    reached = {index}
    order = range(len(source.steps)) if side == "back" else range(len(source.steps) - 1, -1, -1)
    names = set(source.steps[index].outputs if side == "back" else source.steps[index].inputs) - {""}
    dynamic = _dynamic(source)
    for each in order:
        step = source.steps[each]
        ours, theirs = (step.inputs, step.outputs) if side == "back" else (step.outputs, step.inputs)
        if each not in reached and each in dynamic and names & set(ours):
            reached.add(each)
            names |= set(theirs) - {""}
    return reached


def _dynamic(source: Source) -> set[int]:
    """Nodes that depend on an input of the network."""
    known = set(source.inputs)
    found: set[int] = set()
    for index, step in enumerate(source.steps):
        if known & set(step.inputs):
            found.add(index)
            known |= set(step.outputs) - {""}
    return found


@dataclass(kw_only=True)
class _Attempt:
    """One lowering with the host's nodes given."""

    source: Source
    front: frozenset[int]
    back: frozenset[int]
    lowering: Lowering = field(init=False)
    outputs: tuple[str, ...] = field(init=False)
    failed: dict[int, Exception] = field(default_factory=dict[int, Exception])
    ports: dict[str, Port] = field(default_factory=dict[str, Port])
    unknown: dict[str, str] = field(
        default_factory=dict[str, str]
    )  # value -> its type, where the engine cannot hold it; "" after a failure

    def run(self) -> dict[int, Exception]:
        """The failures by node; -1 stands for one that is no node's."""
        steps = self.source.steps
        dynamic = _dynamic(self.source)
        engine = [index for index in sorted(dynamic) if index not in self.front and index not in self.back]
        self.outputs = self._border_out(engine)
        inputs = self._border_in(engine)
        kept = frozenset(_read_by_operators([steps[index] for index in engine], inputs, self.outputs, self.source.shapes))
        self.lowering = Lowering(batch=self.source.batch, kept=kept)
        self.lowering.values.update(self.source.constants)
        for name in inputs:
            self._add_input(name)
        for index, step in enumerate(steps):
            if index in engine or index not in dynamic:
                self._lower(index, step, constant=index not in dynamic)
        if not self.failed:
            self._finish(engine)
        return self.failed

    def _border_in(self, engine: Sequence[int]) -> list[str]:
        """Values that the engine reads and does not compute."""
        steps = self.source.steps
        outside = {*self.source.inputs, *(name for index in self.front for name in steps[index].outputs)} - {""}
        read = {name for index in engine for name in steps[index].inputs}
        return [name for name in (*self.source.inputs, *sorted(outside - set(self.source.inputs))) if name in read]

    def _border_out(self, engine: Sequence[int]) -> tuple[str, ...]:
        """Values of the engine that the network gives or the host reads."""
        steps = self.source.steps
        made = {name for index in engine for name in steps[index].outputs} - {""}
        wanted = [*self.source.outputs, *(name for index in sorted(self.back) for name in steps[index].inputs)]
        return tuple(dict.fromkeys(name for name in wanted if name in made))

    def _add_input(self, name: str) -> None:
        shape, kind = self.source.shapes.get(name), self.source.types.get(name, FLOAT32)
        if shape is None or kind != FLOAT32:
            self.unknown[name] = f"is {kind.lower()}" if kind != FLOAT32 else "has no known shape"
            return
        if not shape or shape[0] != self.source.batch or min(shape) < 1:
            self.unknown[name] = f"of shape {shape} has not the batch as its first axis"
            return
        self.lowering.add_input(name, shape)

    def _lower(self, index: int, step: Step, *, constant: bool) -> None:
        wrong = next((name for name in step.inputs if name in self.unknown), None)
        if wrong is not None and (self.unknown[wrong] == "" or step.key not in CONVERTERS):
            self._assume(step)
            if self.unknown[wrong] == "":
                return
        try:
            if constant and step.operator != "DequantizeLinear":
                self._fold(step)
                return
            if step.key not in CONVERTERS:
                raise _no_converter(step)
            if wrong is not None:
                raise RefusedError(f"its input '{wrong}' {self.unknown[wrong]}", "give the network float32 inputs, or cast them first")
            CONVERTERS[step.key](self.lowering, step)
        except RefusedError as error:
            self.failed[index] = error
            self._assume(step)
        except UnsupportedError as error:
            self.failed[index] = RefusedError(str(error), "check the network's shapes")
            self._assume(step)

    def _fold(self, step: Step) -> None:
        shapes = [self.source.shapes.get(name) for name in step.outputs if name]
        if any(prod(shape) > _LARGEST_CONSTANT if shape is not None else step.operator in GROWING for shape in shapes):
            raise RefusedError("its constant result is too large", "fold the network's constants before export")
        given = [self.lowering.values[name] if name else None for name in step.inputs]
        results = evaluate(step, [value if isinstance(value, Constant) else None for value in given])
        self.lowering.values.update(zip((name for name in step.outputs if name), results, strict=False))

    def _assume(self, step: Step) -> None:
        """Goes on after a failure as if the node had worked, so that one run names every node that fails."""
        for name in step.outputs:
            if not name:
                continue
            shape, kind = self.source.shapes.get(name), self.source.types.get(name)
            if shape is None or kind != FLOAT32 or min(shape, default=0) < 1:
                self.unknown[name] = ""
            else:
                self.lowering.free_value(name, shape)

    def _finish(self, engine: Sequence[int]) -> None:
        """What only the whole can tell: that there is something to run, and the scales at the borders."""
        if not engine:
            self.failed[-1] = UnsupportedError("the network has nothing for the engine to run; all of its nodes belong to the host")
            return
        steps = self.source.steps
        computed = {name for index in _dynamic(self.source) for name in steps[index].outputs}
        fixed = [name for name in self.source.outputs if name not in computed]
        if fixed:
            self.failed[-1] = UnsupportedError(f"output '{fixed[0]}' is not computed from an input; remove it from the network's outputs")
            return
        producers = {name: index for index in engine for name in steps[index].outputs}
        for name in self.outputs:
            try:
                self.ports[name] = self.lowering.output(name)
            except RefusedError as error:
                self.failed[producers[name]] = error
        for index in sorted(self.front | self.back):
            step = steps[index]
            border = {"DequantizeLinear": step.outputs[0], "QuantizeLinear": step.inputs[0]}.get(step.operator)
            value = self.lowering.values.get(border or "")
            if isinstance(value, Value) and value.expression == "x":
                try:
                    self.lowering.quantisations.setdefault(value.tensor, quantisation_of(self.lowering, step))
                except RefusedError:
                    continue


def _no_converter(step: Step) -> RefusedError:
    if step.key in HOSTED:
        return RefusedError(f"the engine has no {step.operator}", "it may only stand at an end of the network, where it runs on the host")
    if step.domain:
        return RefusedError(f"domain '{step.domain}' is not known", "export the network with ONNX's own operators")
    return RefusedError("the engine does not run this operator", "replace it by supported operators, or cut the network before it")


def _read_by_operators(
    steps: Sequence[Step], inputs: Sequence[str], outputs: Sequence[str], shapes: Mapping[str, tuple[int, ...]]
) -> set[str]:
    """Values that something other than a unary function reads, or that leave the engine: a function is computed there and not carried on."""
    roots = _roots(steps, inputs, shapes)
    read = set(outputs)
    for step in reversed(steps):
        result = step.outputs[0]
        for name in step.inputs:
            passes = result in read if step.operator in LAYOUT else roots.get(name) != roots[result] and step.operator != "QuantizeLinear"
            if name in roots and passes:
                read.add(name)
    return read


def _roots(steps: Sequence[Step], inputs: Sequence[str], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """For each value, the value of which it is a unary function, as far as operators and shapes tell."""
    roots = {name: name for name in inputs}
    for step in steps:
        sources = {roots[name] for name in step.inputs if name in roots}
        scalars = all(prod(shapes.get(name, ())) == 1 for name in step.inputs if name and name not in roots)
        unary = step.operator in LAYOUT or (step.key in ELEMENTWISE and scalars)
        for name in step.outputs:
            if name:
                roots[name] = next(iter(sources)) if unary and len(sources) == 1 else name
    return roots
