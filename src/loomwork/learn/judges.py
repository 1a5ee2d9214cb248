"""Metrics of held-out data that a run is watched by: functions of sums over rows, which parts and processes add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from loomwork.learn.settings import CLASS_METRICS
from loomwork.metrics.classification import class_counts, class_matthews, macro_f1
from loomwork.metrics.correlation import pearson_of_sums
from loomwork.metrics.entities import TAG, entities, entity_counts, f1, tag_codes
from loomwork.models.cross_entropy import IGNORED

Floats = npt.NDArray[np.float64]


class Judge(Protocol):
    """What is right in a model's outputs."""

    @property
    def size(self) -> int:
        """How many sums there are."""

    def sums(self, part: Any, found: Any) -> Floats:
        """Of the rows of a part, from what the model gave for it. (size)"""

    def metrics(self, sums: Floats) -> dict[str, float]:
        """Of the sums over all rows; the larger, the better."""


@dataclass(frozen=True)
class ClassJudge:
    """Classes of texts; the first of a part's targets are the right ones.

    Args:
        classes: how many there are.
    """

    classes: int

    @property
    def size(self) -> int:
        return 3 * self.classes

    def sums(self, part: Any, found: Any) -> Floats:
        gold, said = part.targets[0].cpu().numpy(), found.logits.argmax(-1).cpu().numpy()
        counts: Floats = class_counts(gold, said, self.classes).sum(0)
        return counts

    def metrics(self, sums: Floats) -> dict[str, float]:
        accuracy = sums[: self.classes].sum() / max(sums[2 * self.classes :].sum(), 1.0)
        found = accuracy, macro_f1(sums), class_matthews(sums)
        return dict(zip(CLASS_METRICS, map(float, found), strict=True))


@dataclass(frozen=True)
class NumberJudge:
    """Numbers of texts; the first of a part's targets are the right ones."""

    size: int = 6

    def sums(self, part: Any, found: Any) -> Floats:
        x, y = (t.double().cpu().numpy().reshape(-1) for t in (part.targets[0], found.logits))
        sums: Floats = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y]).sum(1)
        return sums

    def metrics(self, sums: Floats) -> dict[str, float]:
        return {"pearson": float(pearson_of_sums(sums))}


@dataclass(frozen=True)
class TagJudge:
    """Tags of words; the targets are the right ones, IGNORED where a token has none.

    Args:
        tags: names of the classes. If all of them are such as B-person, entities are counted as conlleval does.
    """

    tags: Sequence[str]
    size: int = 5
    _codes: tuple[Any, Any, int] | None = field(init=False)

    def __post_init__(self) -> None:
        types: dict[str, int] = {}
        known = all(TAG.fullmatch(tag) for tag in self.tags)
        codes = (*tag_codes(self.tags, types), max(1, len(types))) if known else None
        object.__setattr__(self, "_codes", codes)

    def sums(self, part: Any, found: Any) -> Floats:
        logits = found.logits[:, -part.targets.shape[1] :]
        learned = (part.targets != IGNORED).cpu().numpy()
        if not learned.any():
            return np.zeros(self.size)
        gold, said = (t.cpu().numpy()[learned] for t in (part.targets, logits.argmax(-1)))
        counts = np.zeros(3)
        if self._codes is not None:
            prefixes, types, kinds = self._codes
            rows = learned.nonzero()[0]
            starts = np.append(True, rows[1:] != rows[:-1])
            both = [entities(prefixes[tags], types[tags], starts) for tags in (gold, said)]
            counts = entity_counts(both[0], both[1], starts, kinds).sum((0, 1)).astype(np.float64)
        return np.array([(gold == said).sum(), len(gold), *counts], dtype=np.float64)

    def metrics(self, sums: Floats) -> dict[str, float]:
        found = {"accuracy": float(sums[0] / max(sums[1], 1.0))}
        return found | ({"entity_f1": float(f1(sums[2:]))} if self._codes is not None else {})


@dataclass(frozen=True)
class SpanJudge:
    """First and last tokens of answers: the share of windows in which both are right."""

    size: int = 2

    def sums(self, part: Any, found: Any) -> Floats:
        right = np.ones(len(part.ids), bool)
        for logits, wanted in zip((found.start_logits, found.end_logits), part.targets, strict=True):
            logits = logits[:, -part.seen.shape[1] :].masked_fill(part.seen == 0, -np.inf)
            right &= (logits.argmax(-1) == wanted).cpu().numpy()
        return np.array([right.sum(), len(right)], dtype=np.float64)

    def metrics(self, sums: Floats) -> dict[str, float]:
        return {"windows_right": float(sums[0] / max(sums[1], 1.0))}
