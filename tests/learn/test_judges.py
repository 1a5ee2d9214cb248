"""Metrics of held-out data, against scikit-learn, SciPy and seqeval, whatever the parts; and stopping by them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.errors import InputError
from loomwork.learn.judges import ClassJudge, Judge, NumberJudge, SpanJudge, TagJudge
from loomwork.learn.padded import PaddedPart
from loomwork.learn.settings import Training
from loomwork.learn.watch import HeldOut, Watch
from loomwork.models.cross_entropy import IGNORED

TAGS = ["B-place", "B-who", "I-place", "I-who", "O"]


def judged(judge: Judge, parts: list[tuple[Any, Any]], seen: torch.Tensor | None = None) -> dict[str, float]:
    total = np.zeros(judge.size)
    for targets, found in parts:
        ids = torch.zeros(len(targets[0]), 1, dtype=torch.long)
        part = PaddedPart(ids, torch.ones_like(ids) if seen is None else seen, targets, 1.0, ())
        total += judge.sums(part, found)
    return judge.metrics(total)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40), st.integers(2, 4))
def test_classes(pairs, classes):
    from sklearn.metrics import f1_score, matthews_corrcoef

    pairs = [(g % classes, s % classes) for g, s in pairs]
    gold, said = (torch.tensor(side) for side in zip(*pairs, strict=True))
    logits = torch.nn.functional.one_hot(said, classes).float()
    parts = [((gold[i::2],), SimpleNamespace(logits=logits[i::2])) for i in (0, 1)]
    found = judged(ClassJudge(classes), parts)
    expected = f1_score(gold, said, labels=range(classes), average="macro", zero_division=0)
    assert found["accuracy"] == pytest.approx(float((gold == said).float().mean()))
    assert found["macro_f1"] == pytest.approx(expected)
    assert found["matthews"] == pytest.approx(matthews_corrcoef(gold, said), abs=1e-9)


def test_numbers():
    from scipy.stats import pearsonr

    draw = np.random.default_rng(0)
    x, noise = draw.normal(size=50), draw.normal(size=50)
    y = x + noise
    parts = [
        ((torch.tensor(x[i]),), SimpleNamespace(logits=torch.tensor(y[i])[:, None])) for i in np.split(range(50), [7])
    ]
    assert judged(NumberJudge(), parts)["pearson"] == pytest.approx(pearsonr(x, y)[0])


def test_tags():
    from seqeval.metrics import f1_score

    draw = torch.Generator().manual_seed(0)
    gold = torch.randint(0, 5, (30, 12), generator=draw)
    said = torch.where(torch.rand(30, 12, generator=draw) < 0.3, torch.randint(0, 5, (30, 12), generator=draw), gold)
    learned = torch.rand(30, 12, generator=draw) < 0.8
    targets = gold.masked_fill(~learned, IGNORED)
    logits = torch.nn.functional.one_hot(said, 5).float()
    parts = [(targets[i], SimpleNamespace(logits=logits[i])) for i in (slice(0, 11), slice(11, 30))]
    parts.append((torch.full((2, 3), IGNORED), SimpleNamespace(logits=torch.zeros(2, 3, 5))))  # no word at all
    found = judged(TagJudge(TAGS), parts)
    names = [[[TAGS[t] for t in row[kept]] for row, kept in zip(rows, learned, strict=True)] for rows in (gold, said)]
    assert found["entity_f1"] == pytest.approx(f1_score(*names))
    assert found["accuracy"] == pytest.approx(float((gold == said)[learned].float().mean()))
    assert judged(TagJudge(["noun", "verb", "a", "b", "c"]), parts).keys() == {"accuracy"}


def test_spans():
    seen = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])
    starts, ends = torch.zeros(3, 4), torch.zeros(3, 4)
    for row, (first, last) in enumerate([(1, 2), (1, 1), (0, 1)]):
        starts[row, first] = ends[row, last] = 1.0
    starts[1, 3] = 5.0  # filling
    found = SimpleNamespace(start_logits=starts, end_logits=ends)
    wanted = torch.tensor([1, 1, 0]), torch.tensor([2, 1, 2])
    assert judged(SpanJudge(), [(wanted, found)], seen)["windows_right"] == pytest.approx(2 / 3)


class Fixed(torch.nn.Module):
    """An objective of logits that are given."""

    def outputs(self, part: PaddedPart) -> Any:
        return SimpleNamespace(logits=part.more["logits"])

    def loss_of(self, part: PaddedPart, found: Any) -> torch.Tensor:
        return torch.tensor(part.share)


def test_a_part_that_only_fills_up_is_not_counted():
    def part(gold: int, share: float) -> PaddedPart:
        one = torch.zeros(1, 1, dtype=torch.long)
        return PaddedPart(one, one + 1, (torch.tensor([gold]),), share, (0,), {"logits": torch.tensor([[0.0, 1.0]])})

    loss, sums = HeldOut(Fixed(), lambda limit: [part(1, 0.5), part(1, 0.5), part(0, 0.0)], 9, ClassJudge(2))()
    assert loss == 1.0
    assert ClassJudge(2).metrics(sums)["accuracy"] == 1.0


@pytest.mark.parametrize(("stop_on", "best"), [("loss", 2), ("accuracy", 3), ("macro_f1", 3)])
def test_what_is_better(stop_on, best):
    """Losses 3 1 2 4 and accuracies .5 .5 1 1: what is as good is no better."""
    judge, gold = ClassJudge(2), torch.tensor([1, 1, 1, 0])
    said = iter([[1, 1, 0, 1], [1, 1, 0, 1], [1, 1, 1, 0], [1, 1, 1, 0]])
    losses = iter([3.0, 1.0, 2.0, 4.0])

    def look() -> tuple[float, Any]:
        logits = torch.nn.functional.one_hot(torch.tensor(next(said)), 2).float()
        part = PaddedPart(torch.zeros(4, 1), torch.ones(4, 1), (gold,), 1.0, ())
        return next(losses), judge.sums(part, SimpleNamespace(logits=logits))

    watch = Watch(look, judge=judge, stop_on=stop_on)
    better = [watch.at(step) for step in (1, 2, 3, 4)]
    assert watch.best_step == best
    assert better.index(True) == 0
    again = Watch(look, judge=judge, stop_on=stop_on)
    again.resume(watch.state)
    assert again == watch
    assert watch.card(stopping=True)["holdout_accuracy"] == watch.metrics[best]["accuracy"]
    assert watch.card(stopping=False)["holdout_accuracy"] == watch.metrics[4]["accuracy"] == 1.0


def test_what_is_not_watched_is_refused():
    Training().check_stop()
    Training(stop_on="accuracy", patience=1).check_stop(("accuracy",))
    with pytest.raises(InputError, match="stop_on is 'f1'") as told:
        Training(stop_on="f1", patience=1).check_stop(("accuracy",))
    assert "loss, accuracy" in told.value.hint
    with pytest.raises(InputError, match="patience is 0"):
        Training(stop_on="accuracy").check_stop(("accuracy",))
