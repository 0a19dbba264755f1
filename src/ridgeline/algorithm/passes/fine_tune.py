"""Fine-tuning of weights in their formats and patterns: the network learns to do with them what the float network does.

The numbers that are trained stay float. What a step runs with is what would be stored of them, and its gradient passes to them unchanged (straight-
through estimator: Bengio et al., arXiv 1308.3432, section 4), where the pattern keeps them. Pruning is gradual: of the elements that the pattern
would drop, a share goes that rises by the cubic schedule of Zhu and Gupta (To prune, or not to prune, arXiv 1710.01878, equation 1), the smallest
first. So N:M, banks and blocks are reached from all elements by one rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from typing import Any, Protocol, TypeAlias

import numpy as np

from ridgeline.algorithm.passes.compress import Choice, Place, StoredWeight, recoded, store_masked
from ridgeline.errors import InputError
from ridgeline.formats.sparsity import read_pattern

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Tensor: TypeAlias = Any  # torch comes with the extra `train` only
Progress: TypeAlias = Callable[[int, int], None]
IMAGES = 32  # of a step
PRUNED = 0.3  # of the steps, after which a pattern drops all that it does
FROZEN = 2 / 3  # of the steps, after which masks stay
SPREAD = 1e-12  # of a teacher that always says the same


class Walked(Protocol):
    """A network in torch, and how arrays become tensors."""

    torch: Any

    def tensor(self, array: Array) -> Tensor: ...

    def run(self, feeds: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTune:
    """`learning_rate`: how far Adam moves a number at a step, in parts of its weight's root mean square; it falls to 0 along a cosine.

    Raises InputError for a rate that is none.
    """

    steps: int
    learning_rate: float = 0.01
    metric: str

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate <= 1:
            raise InputError(f"--learning-rate {self.learning_rate:g} must be above 0 and at most 1, in parts of a weight's root mean square")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lessons:
    """Inputs (images, ...), the float network's outputs, some of them floats, and labels (images,) or None; `batch` images run at once."""

    feeds: Mapping[str, Array]
    reference: Mapping[str, Array]
    labels: Array | None
    batch: int

    @property
    def images(self) -> int:
        return len(next(iter(self.feeds.values())))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pupil:
    """A weight: its float32 numbers, and how it was stored of them."""

    name: str
    place: Place
    values: Array
    stored: StoredWeight


class _Shadow:
    """The float numbers of a weight while they are trained, and what is stored of them now.

    They begin as the network's, and where all elements stay with what is stored in place of those that would be coded otherwise than errors made up
    for. A mask that no pattern imposes, but the values, stays.
    """

    def __init__(self, pupil: Pupil, walk: Walked) -> None:
        self.name, self.place, self.stored = pupil.name, pupil.place, pupil.stored
        self.values = walk.tensor(_beginning(pupil)).requires_grad_()
        self.is_gradual = pupil.stored.sparse is not None and read_pattern(pupil.stored.sparse.pattern).density is not None
        self.scale = float(np.sqrt(np.mean(np.square(pupil.values, dtype=np.float64)))) or 1.0

    def store(self, step: int, options: FineTune) -> None:
        """What is stored after so many of the steps. Raises InputError for numbers that are none any more."""
        values: Array = self.values.detach().numpy()
        if not np.isfinite(values).all():
            raise _diverged(f"weight '{self.name}' is no number", step, options)
        mask = None if self.stored.sparse is None else self.stored.sparse.mask
        if self.is_gradual and step <= ceil(FROZEN * options.steps):
            mask = gradual_mask(values, self.place, self.stored.choice, share(step / options.steps))
        encoded = recoded(values if mask is None else np.where(mask, values, np.float32(0)), self.stored.encoded)
        self.stored = store_masked(values, self.place, self.stored.choice, mask, encoded)


def _beginning(pupil: Pupil) -> Array:
    if pupil.stored.sparse is not None:
        return pupil.values.copy()
    stored, nearest = pupil.stored.decode(), recoded(pupil.values, pupil.stored.encoded)
    return stored.copy() if nearest is None else np.where(nearest.decode() == stored, pupil.values, stored)


def straight_through(walk: Walked, values: Tensor, stored: StoredWeight) -> Tensor:
    """What is stored, with the gradient of the float numbers that stay."""
    kept = values if stored.sparse is None else values * walk.tensor(stored.sparse.mask)
    return kept + (walk.tensor(stored.decode()) - kept).detach()


def share(done: float) -> float:
    """Of what a pattern drops in the end, the part that goes after so much of the steps."""
    return 1 - (1 - min(1.0, done / PRUNED)) ** 3


def gradual_mask(values: Array, place: Place, choice: Choice, dropped: float) -> Array:
    """Without that share of the elements that the pattern would drop by magnitude, the smallest first."""
    magnitudes = np.abs(values)
    mask: Array = read_pattern(choice.pattern, pad=choice.pad).mask(magnitudes, axis=place.reduction).reshape(-1)
    outside = np.flatnonzero(~mask)
    going = round(dropped * outside.size)
    if going < outside.size:
        order = np.argpartition(magnitudes.reshape(-1)[outside], going)
        mask[outside[order[going:]]] = True
    return mask.reshape(values.shape)


def fine_tune(
    walk: Walked, pupils: Sequence[Pupil], lessons: Lessons, options: FineTune, *, rng: np.random.Generator, progress: Progress
) -> list[StoredWeight]:
    """The weights as they are stored after training, at the scales that they had; biases and norms stay as they are.

    Raises InputError where the loss or a weight is no number any more.
    """
    shadows = [_Shadow(pupil, walk) for pupil in pupils]
    adam = walk.torch.optim.Adam([{"params": [each.values], "lr": options.learning_rate * each.scale} for each in shadows])
    slower = walk.torch.optim.lr_scheduler.CosineAnnealingLR(adam, options.steps)
    for step, parts in zip(range(options.steps), _batches(lessons, rng), strict=False):
        for shadow in shadows:
            shadow.store(step, options)
        weights = {shadow.name: straight_through(walk, shadow.values, shadow.stored) for shadow in shadows}
        loss: Tensor = sum(_loss(walk, lessons, weights, part, options.metric) for part in parts) / len(parts)
        if not isfinite(loss.item()):
            raise _diverged(f"the loss is {loss.item()}", step, options)
        adam.zero_grad()
        loss.backward()
        adam.step()
        slower.step()
        progress(step + 1, options.steps)
    for shadow in shadows:
        shadow.store(options.steps, options)
    return [shadow.stored for shadow in shadows]


def _diverged(what: str, step: int, options: FineTune) -> InputError:
    return InputError(f"fine-tuning: {what} after {step} of {options.steps} steps; give a --learning-rate below {options.learning_rate:g}")


def _batches(lessons: Lessons, rng: np.random.Generator) -> Iterator[list[Array]]:
    """The images of each step, in parts that run at once: all in a random order, then again in another."""
    size = min(lessons.batch, lessons.images)
    order = np.empty(0, np.int64)
    while True:
        parts: list[Array] = []
        for _ in range(max(1, IMAGES // size)):
            if order.size < size:
                order = rng.permutation(lessons.images)
            parts.append(order[:size])
            order = order[size:]
        yield parts


def _loss(walk: Walked, lessons: Lessons, weights: Mapping[str, Tensor], part: Array, metric: str) -> Tensor:
    """The distance to the float network's outputs, their mean; by accuracy with the cross entropy to the labels added."""
    made = walk.run({name: walk.tensor(array[part]) for name, array in lessons.feeds.items()}, weights)
    taught = [name for name, array in lessons.reference.items() if array.dtype.kind == "f"]
    loss: Tensor = sum(_distance(walk, made[name], walk.tensor(lessons.reference[name][part]), metric) for name in taught) / len(taught)
    if metric != "accuracy" or lessons.labels is None:
        return loss
    first = made[next(iter(lessons.reference))]
    return loss + _cross_entropy(walk, first.reshape(len(part), -1), walk.tensor(lessons.labels[part]))


def _distance(walk: Walked, made: Tensor, reference: Tensor, metric: str) -> Tensor:
    """By cosine 1 less the mean cosine, by kl the mean divergence, else the mean squared error over the reference's mean square."""
    functions = walk.torch.nn.functional
    if metric == "cosine":
        return 1 - functions.cosine_similarity(made.reshape(len(made), -1), reference.reshape(len(made), -1), dim=1).mean()
    if metric == "kl":
        made, reference = (functions.log_softmax(each, dim=-1).reshape(-1, each.shape[-1]) for each in (made, reference))
        return functions.kl_div(made, reference, reduction="batchmean", log_target=True)
    return functions.mse_loss(made, reference) / (reference.square().mean() + SPREAD)


def _cross_entropy(walk: Walked, made: Tensor, labels: Tensor) -> Tensor:
    """Of logits, or of a network that ends in shares of 1."""
    functions = walk.torch.nn.functional
    sums = made.detach().sum(dim=1)
    if bool((made >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all()):
        return functions.nll_loss(walk.torch.log(made.clamp_min(1e-9)), labels.long())
    return functions.cross_entropy(made, labels.long())
