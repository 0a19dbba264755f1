"""Registries of strings, `{"rtl": "ridgeline.backends.rtl:Rtl"}`: greppable, and imported only when asked for.

A plug-in adds a name by an entry point of the group `ridgeline.<kind>` in the same notation. A built-in name wins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType

from ridgeline.errors import InputError, unknown_name


@dataclass(frozen=True, kw_only=True)
class Registry:
    """One kind of thing by name; `kind` is the word that messages and the entry point group use."""

    kind: str
    built_in: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @cached_property
    def addresses(self) -> Mapping[str, str]:
        """Name -> "module:attribute", built-in names and plug-ins."""
        plug_ins = {point.name: point.value for point in entry_points(group=f"ridgeline.{self.kind}")}
        return MappingProxyType(dict(sorted({**plug_ins, **self.built_in}.items())))

    def names(self) -> tuple[str, ...]:
        return tuple(self.addresses)

    def load(self, name: str) -> object:
        """The thing itself; raises UnknownNameError, or InputError for an address that leads nowhere."""
        if name not in self.addresses:
            raise unknown_name(self.kind, name, self.addresses)
        return resolve(self.addresses[name])


def resolve(address: str) -> object:
    """What "module:attribute" names."""
    module_name, colon, attribute = address.partition(":")
    if not colon:
        raise InputError(f"address {address!r} is not of the form 'module:attribute'")
    try:
        found: object = import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise InputError(f"address {address!r} cannot be loaded: {error}") from error
    return found
