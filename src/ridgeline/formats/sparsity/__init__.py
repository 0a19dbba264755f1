"""Sparsity patterns: which weights stay, how they are stored, and what hardware counts of them."""

from ridgeline.formats.sparsity.families import FAMILIES, families, read_pattern
from ridgeline.formats.sparsity.measures import Steps, counts, steps, wanda_scores
from ridgeline.formats.sparsity.packed import PackedSparse, from_bytes, product
from ridgeline.formats.sparsity.pattern import Family, Pattern
from ridgeline.formats.sparsity.predicted import hit_rate, pool_needed, relu_needed

__all__ = [
    "FAMILIES",
    "Family",
    "PackedSparse",
    "Pattern",
    "Steps",
    "counts",
    "families",
    "from_bytes",
    "hit_rate",
    "pool_needed",
    "product",
    "read_pattern",
    "relu_needed",
    "steps",
    "wanda_scores",
]
