"""OliVe, ISCA 2023: an outlier takes the place of the value beside it; the area of the decoders and what pairs come out as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from ridgeline.errors import InputError
from ridgeline.formats import Keep, quantise, read_format
from ridgeline.formats.olive import Olive, pair_codes, pair_values
from ridgeline.formats.scalar import codebook
from ridgeline.papers.paper import Published

# Pairs in units of the scale, and what they come out as when the left of two outliers stays.
PAIRS = (((3.2, -5.4), (3, -5)), ((20, 1), (24, 0)), ((2, -50), (0, -48)), ((15, 40), (16, 0)))
_NOT_RERUN = "not rerun here: speeds on whole networks, of a GPU's simulator and of a systolic array whose other parts are not published"
_SPEEDS = (("GPU", "GOBO", 4.5), ("GPU", "int8", 2.7), ("GPU", "ANT", 2.4), ("systolic array", "AdaFloat", 4.8), ("systolic array", "OLAccel", 3.8),
           ("systolic array", "ANT", 3.7))  # fmt: skip
_LEVELS = (("olive4", 12, 96, 9.5), ("olive-flint4", 24, 192, 20))
_PAIR = "the left of two outliers stays, as in the authors' code"


def _published() -> tuple[Published, ...]:
    rows = [
        Published(quantity="4-bit decoders", unit="% of the die", value=0.250, tolerance=0.0005 / 0.250),
        Published(
            quantity="8-bit decoders", unit="% of the die", value=0.166, tolerance=None,
            note="not rerun here: the share alone is known to us, not the area of such a decoder nor their number",
        ),
        Published(quantity="bits of a pair", unit="bits", value=8, tolerance=0.0),
    ]  # fmt: skip
    for name, least, most, limit in _LEVELS:
        rows.append(Published(quantity=f"{name}: least outlier", unit="steps", value=least, tolerance=0.0))
        rows.append(Published(quantity=f"{name}: largest outlier", unit="steps", value=most, tolerance=0.0))
        rows.append(Published(quantity=f"{name}: outliers are above", unit="steps", value=limit, tolerance=0.0))
    for given, made in PAIRS:
        for name, value in zip(_pair_names(given), made, strict=True):
            rows.append(Published(quantity=name, unit="steps", value=value, tolerance=0.0, note=_PAIR))
    for machine, rival, speed in _SPEEDS:
        rows.append(Published(quantity=f"speed over {rival}, {machine}", unit="x", value=speed, tolerance=None, note=_NOT_RERUN))
    return tuple(rows)


def _pair_names(given: tuple[float, float]) -> tuple[str, str]:
    pair = f"({given[0]:g}, {given[1]:g})"
    return f"{pair}: left", f"{pair}: right"


@dataclass(frozen=True, slots=True, kw_only=True)
class OlivePairs:
    """The decoders' share of a GPU's die; the format's levels and pairs, by `formats.olive`."""

    title: ClassVar[str] = "OliVe: Accelerating Large Language Models via Hardware-friendly Outlier-Victim Pair Quantization (ISCA 2023)"
    citation: ClassVar[str] = (
        "C. Guo, J. Tang, W. Hu, J. Leng, C. Zhang, F. Yang, Y. Liu, M. Guo, Y. Zhu, ISCA 2023, doi 10.1145/3579371.3589038"
    )
    published: ClassVar[tuple[Published, ...]] = _published()

    decoder_um2: float = field(default=13.53, metadata={"help": "Of one 4-bit decoder."})
    decoders: int = field(default=139_264, metadata={"help": "4-bit decoders on the die."})
    die_mm2: float = field(default=754.0, metadata={"help": "Of the GPU, RTX 2080 Ti."})
    keep: str = field(default="left", metadata={"help": "Which of two outliers in a pair stays: left (the code) or larger (the paper)."})

    def ours(self) -> Mapping[str, float]:
        """Raises InputError for a parameter out of range."""
        for name in ("decoder_um2", "decoders", "die_mm2"):
            if not 0 < getattr(self, name) < 1e12:
                raise InputError(f"{name} is {getattr(self, name):g}; it must be above 0")
        if self.keep not in tuple(Keep):
            raise InputError(f"keep is '{self.keep}'; it must be {' or '.join(Keep)}")
        found = {"4-bit decoders": 100 * self.decoder_um2 * 1e-6 * self.decoders / self.die_mm2}
        for name, *_ in _LEVELS:
            pairs = _olive(name)
            outliers = codebook(pairs.outlier).levels
            found[f"{name}: least outlier"] = float(outliers[outliers > 0].min())
            found[f"{name}: largest outlier"] = float(outliers.max())
            found[f"{name}: outliers are above"] = pairs.limit
        pairs = replace(_olive("olive4"), keep=Keep(self.keep))
        values = np.array([given for given, _ in PAIRS], np.float32).reshape(-1)
        found["bits of a pair"] = 8 * quantise(values, pairs).stored.packed.size / len(PAIRS)
        made = pair_values(pairs, pair_codes(pairs, values)).tolist()
        names = [name for given, _ in PAIRS for name in _pair_names(given)]
        return {**found, **dict(zip(names, made, strict=True))}


def _olive(name: str) -> Olive:
    found = read_format(name)
    if not isinstance(found, Olive):
        raise InputError(f"format '{name}' is a {type(found).__name__}; give one of pairs")
    return found
