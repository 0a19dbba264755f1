"""A Timeloop architecture's memories and fan-outs as one list, the outermost first, from nodes (v0.4) or from subtree and local (v0.2, v0.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import isfinite
from typing import Any, TypeAlias, cast

import msgspec

from ridgeline.errors import InputError, UnsupportedError
from ridgeline.hardware.chip import TENSORS
from ridgeline.timeloop import TAG, container_name, convert, tensor_names

STORAGE = ("dram", "sram", "regfile", "smartbuffer", "storage")  # in a class' name
COMPUTE = ("mac", "compute")
INHERITED = ("technology", "global_cycle_seconds", "datawidth", "word_bits")  # from the containers outside
RENAMED = {"memory_depth": "depth", "memory_width": "width"}
Attributes: TypeAlias = Mapping[str, Any]


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the file."""


class Spatial(Struct, frozen=True, kw_only=True):
    """How many there are along each side."""

    mesh_x: int = msgspec.field(name="meshX", default=1)
    mesh_y: int = msgspec.field(name="meshY", default=1)


class Rule(Struct, frozen=True, kw_only=True):
    """Constraints on loops: in time, or over a fan-out."""

    target: str = ""
    type: str = ""
    factors: Any = None
    permutation: Any = None
    split: int | None = None
    no_reuse: Any = None
    no_temporal_reuse: Any = None
    no_link_transfer: Any = None
    no_multicast_no_reduction: Any = None
    rmw_first_update: Any = None
    rmw_on_first_writeback: Any = None
    default_max_factor: Any = None
    default_min_factor: Any = None
    remainders: Any = None


class Dataspace(Struct, frozen=True, kw_only=True):
    """What a memory keeps, and what passes it by."""

    target: str = ""
    type: str = ""
    keep: Any = None
    keep_only: Any = None
    bypass: Any = None
    no_coalesce: Any = None


class Constraints(Struct, frozen=True, kw_only=True):
    """Of one node."""

    temporal: Rule = Rule()
    spatial: Rule = Rule()
    dataspace: Dataspace = Dataspace()
    max_overbooked_proportion: Any = None
    utilization: Any = None


class Node(Struct, frozen=True, kw_only=True):
    """A container, a component or a branch. `class` is a component's kind."""

    tag: str = msgspec.field(name=TAG)
    name: str = ""
    kind: str = msgspec.field(name="class", default="")
    subclass: str = ""
    attributes: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    spatial: Spatial = Spatial()
    constraints: Constraints = Constraints()
    nodes: tuple[Node, ...] = ()
    required_actions: Any = None
    enabled: bool = True
    area_share: Any = None
    sparse_optimizations: Any = None
    networks: Any = None


class Local(Struct, frozen=True, kw_only=True):
    """A component of the older form: `name[0..167]` is one of 168."""

    name: str
    kind: str = msgspec.field(name="class")
    subclass: str = ""
    attributes: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    required_actions: Any = None
    enabled: bool = True


class Subtree(Struct, frozen=True, kw_only=True):
    """A part of the older form."""

    name: str
    attributes: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    local: tuple[Local, ...] = ()
    subtree: tuple[Subtree, ...] = ()


class Architecture(Struct, frozen=True, kw_only=True):
    """Either form."""

    version: Any = None
    nodes: tuple[Node, ...] = ()
    subtree: tuple[Subtree, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fan:
    """A fan-out; `name` is its container."""

    name: str
    x: int
    y: int
    rule: Rule = field(default_factory=Rule)

    @property
    def axes(self) -> dict[str, int]:
        """Array axis -> size; x lies inside of y. Timeloop's mappings tell the sides apart, so that a side y is always named."""
        sizes = {f"{self.name}_x" if self.y > 1 else self.name: self.x, f"{self.name}_y": self.y}
        return {axis: size for axis, size in sizes.items() if size > 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A memory, or the multipliers. `branch`: it is one of several in parallel, and keeps only what it says."""

    name: str
    kind: str
    attributes: Attributes
    dataspace: Dataspace = field(default_factory=Dataspace)
    temporal: Rule = field(default_factory=Rule)
    branch: bool = False

    @property
    def is_storage(self) -> bool:
        return any(word in self.kind.lower() for word in STORAGE)

    @property
    def is_dummy(self) -> bool:
        return "dummy" in self.kind.lower()


Item: TypeAlias = Fan | Part


def items_of(found: Mapping[str, Any], where: str) -> list[Item]:
    """Of a file with an `architecture`, and the `architecture_constraints` that it may have. Raises InputError or UnsupportedError."""
    architecture = convert(found["architecture"], Architecture, where)
    targets = _targets(found.get("architecture_constraints"), where)
    items = _nodes(architecture.nodes, {}, where) if architecture.nodes else _subtrees(architecture.subtree, where)
    return [_constrained(item, targets) for item in items]


# The two forms as one list of memories and fan-outs, the outermost first


def _nodes(nodes: Sequence[Node], inherited: Attributes, where: str, *, branch: bool = False) -> Iterator[Item]:
    for node in nodes:
        here = f"{where}: {node.name or '!' + node.tag}"
        refuse(here, node, "sparse_optimizations", "networks")
        refuse(here, node.constraints, "max_overbooked_proportion", "utilization")
        match node.tag:
            case "Hierarchical":
                yield from _nodes(node.nodes, inherited, where, branch=branch)
                continue
            case "Parallel":
                yield from _branches(node, inherited, where)
                continue
            case "Container" | "Component":
                pass
            case _:
                raise UnsupportedError(f"{here}: !{node.tag} has no counterpart in a chip")
        if not node.enabled:
            raise UnsupportedError(f"{here}: a component that is not enabled; leave it out of the file")
        if node.spatial.mesh_x < 1 or node.spatial.mesh_y < 1:
            raise InputError(f"{here}: spatial has meshX {node.spatial.mesh_x} and meshY {node.spatial.mesh_y}; both must be 1 or more")
        if node.spatial.mesh_x * node.spatial.mesh_y > 1:
            yield Fan(name=node.name, x=node.spatial.mesh_x, y=node.spatial.mesh_y, rule=node.constraints.spatial)
        if node.tag == "Container":
            inherited = {**inherited, **node.attributes}
            continue
        _check_class(node.kind, here)
        yield Part(
            name=node.name, kind=node.kind, attributes=_attributes(inherited, node.attributes), dataspace=node.constraints.dataspace,
            temporal=node.constraints.temporal, branch=branch,
        )  # fmt: skip


def _branches(node: Node, inherited: Attributes, where: str) -> Iterator[Item]:
    """Memories side by side become levels one after another that keep different tensors."""
    seen: dict[str, str] = {}
    for child in node.nodes:
        for item in _nodes((child,), inherited, where, branch=True):
            if isinstance(item, Fan) or not item.is_storage:
                raise UnsupportedError(
                    f"{where}: '{item.name}' in a !Parallel is a fan-out or no memory; a chip's memories lie within each other"
                )
            for tensor in kept(item, where)[1]:
                if seen.setdefault(tensor, child.name) != child.name:
                    raise InputError(f"{where}: the {tensor} is kept in two branches of one !Parallel, '{seen[tensor]}' and '{child.name}'")
            yield item


def _attributes(inherited: Attributes, own: Attributes) -> Attributes:
    """Accelergy's names for a memory's depth and width are Timeloop's too."""
    renamed = {RENAMED.get(name, name): value for name, value in own.items()}
    return {**{name: value for name, value in inherited.items() if name in INHERITED}, **renamed}


def _check_class(kind: str, where: str) -> None:
    if not any(word in kind.lower() for word in (*STORAGE, *COMPUTE)):
        known = ", ".join((*STORAGE, *COMPUTE))
        raise UnsupportedError(
            f"{where}: class '{kind}' has no counterpart in a chip; a memory's or multiplier's class has one of {known} in it"
        )


def _subtrees(trees: Sequence[Subtree], where: str) -> Iterator[Item]:
    """A fan-out lies between components of which the inner one has more instances, and has the outer one's name."""
    found = [entry for tree in trees for entry in _locals(tree, 1, {}, where)]
    if not found or len(trees) != 1:
        raise InputError(f"{where}: architecture has neither 'nodes' (v0.4) nor one 'subtree' with components (v0.2, v0.3)")
    yield found[0][0]
    for (outer, many, meshed), (inner, more, wider) in pairwise(found):
        if more % many or wider % meshed or (more // many) % (wider // meshed):
            raise InputError(
                f"{where}: {inner.name}: {more} instances, {wider} of them along x, do not lie in {many}, {meshed} of them along x"
            )
        if more > many:
            yield Fan(name=container_name(outer.name), x=wider // meshed, y=(more // many) // (wider // meshed))
        yield inner


def _locals(tree: Subtree, times: int, inherited: Attributes, where: str) -> Iterator[tuple[Part, int, int]]:
    """Each component with its instances, in all and along x."""
    if len(tree.subtree) > 1:
        raise UnsupportedError(
            f"{where}: '{tree.name}' has {len(tree.subtree)} subtrees side by side; a chip's memories lie within each other"
        )
    _, own = counted(tree.name, where)
    times *= own
    inherited = {**inherited, **tree.attributes}
    for local in tree.local:
        name, count = counted(local.name, where)
        _check_class(local.kind, f"{where}: {name}")
        mesh = number({**local.attributes}, "meshX", f"{where}: {name}")
        if mesh is not None and (mesh != int(mesh) or mesh < 1):
            raise InputError(f"{where}: {name}: meshX is {mesh}; it must be a whole number of 1 or more")
        total = times * count
        yield (
            Part(name=name, kind=local.kind, attributes=_attributes(inherited, local.attributes)),
            total,
            int(mesh) if mesh is not None else total,
        )
    for inner in tree.subtree:
        yield from _locals(inner, times, inherited, where)


def counted(name: str, where: str) -> tuple[str, int]:
    match = re.fullmatch(r"(.*?)(?:\[\s*(\d{1,9})\s*\.\.\s*(\d{1,9})\s*\])?", name, re.DOTALL)
    assert match is not None
    if match[2] is None:
        return name, 1
    count = int(match[3]) - int(match[2]) + 1
    if count < 1:
        raise InputError(f"{where}: '{name}' is an empty range")
    return match[1], count


def _targets(found: Any, where: str) -> dict[tuple[str, str], Any]:
    """(kind, target) -> a constraint that stands in a list of its own."""
    targets: Any = cast("dict[str, Any]", found).get("targets", []) if isinstance(found, dict) else [] if found is None else found
    if not isinstance(targets, list):
        raise InputError(f"{where}: architecture_constraints has no list of targets")
    made: dict[tuple[str, str], Any] = {}
    for entry in cast("list[Any]", targets):
        kind = str(cast("dict[str, Any]", entry).get("type")) if isinstance(entry, dict) else ""
        kind = "dataspace" if kind in ("datatype", "bypass") else kind
        if kind not in ("temporal", "spatial", "dataspace"):
            raise InputError(f"{where}: architecture_constraints: type '{kind}' is none of temporal, spatial and dataspace")
        rule = convert(entry, Dataspace if kind == "dataspace" else Rule, f"{where}: architecture_constraints")
        made[kind, container_name(rule.target)] = rule
    return made


def _constrained(item: Item, targets: Mapping[tuple[str, str], Any]) -> Item:
    if isinstance(item, Fan):
        return replace(item, rule=targets.get(("spatial", item.name), item.rule))
    return replace(
        item, temporal=targets.get(("temporal", item.name), item.temporal), dataspace=targets.get(("dataspace", item.name), item.dataspace)
    )


# Fields


def kept(part: Part, where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tensors that a memory may keep, and those that it must."""
    here, rule = f"{where}: {part.name}", part.dataspace
    refuse(here, rule, "no_coalesce")
    keep, only, bypass = (tensor_names(value, here) for value in (rule.keep, rule.keep_only, rule.bypass))
    both = next((tensor for tensor in (*keep, *only) if tensor in bypass), None)
    if both is not None:
        raise InputError(f"{here}: the {both} is in keep and in bypass")
    must = {*keep, *only}
    if part.branch and not must and set(bypass) != set(TENSORS):
        raise InputError(f"{here}: it is one of several in parallel; say which tensors it keeps: constraints: dataspace: {{keep: [...]}}")
    may = must if part.branch or only else set(TENSORS) - set(bypass)
    return tuple(tensor for tensor in TENSORS if tensor in may), tuple(tensor for tensor in TENSORS if tensor in must)


def number(attributes: Attributes, name: str, where: str) -> float | None:
    value = attributes.get(name)
    if value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = float("nan")
    if isinstance(value, bool) or not isfinite(found) or found < 0:
        raise InputError(f"{where}: {name} is {value!r}; it must be a number of 0 or more (expressions are not read)")
    return found


def whole(value: float, name: str, where: str) -> int:
    if value != int(value) or value < 1:
        raise InputError(f"{where}: {name} makes {value:g}; it must be a whole number of 1 or more")
    return int(value)


def refuse(where: str, found: msgspec.Struct, *names: str) -> None:
    given = next((name for name in names if getattr(found, name)), None)
    if given is not None:
        raise UnsupportedError(f"{where}: '{given}' has no counterpart in a chip")
