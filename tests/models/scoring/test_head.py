"""The blocked output layer: torch's own log-softmax, ties and broken numbers."""

from __future__ import annotations

import pytest
import torch

from loomwork.models.scoring.head import STATES, TOKENS, log_probabilities, log_softmax_of


@pytest.mark.parametrize(("states", "vocabulary"), [(3, 7), (STATES + 5, TOKENS), (2 * STATES, 2 * TOKENS + 3)])
def test_it_is_torchs_log_softmax(states, vocabulary):
    torch.manual_seed(states)
    x, head = torch.randn(states, 16), torch.randn(vocabulary, 16)
    rows, targets = torch.randint(0, states, (200,)), torch.randint(0, vocabulary, (200,))
    whole = (x @ head.T).log_softmax(-1)
    targets[:50] = whole[rows[:50]].argmax(-1)
    found, best = log_probabilities(x, head, rows, targets)
    assert torch.allclose(found, whole[rows, targets].double(), atol=1e-4)
    assert (best == (whole.argmax(-1)[rows] == targets)).all()
    again, same = log_softmax_of(x @ head.T, rows, targets)
    assert torch.allclose(found, again, atol=1e-5)
    assert (best == same).all()


def test_of_equal_logits_the_first_is_the_likeliest():
    head = torch.zeros(2 * TOKENS, 1)
    head[[5, 9, TOKENS + 1]] = 1.0
    _, best = log_probabilities(torch.ones(2, 1), head, torch.tensor([0, 0, 0, 1]), torch.tensor([5, 9, TOKENS + 1, 5]))
    assert best.tolist() == [True, False, False, True]


def test_logits_that_are_no_numbers_show():
    x = torch.ones(3, 2)
    x[1] = float("nan")
    found, _ = log_probabilities(x, torch.randn(4, 2), torch.tensor([0, 1, 2]), torch.tensor([1, 1, 1]))
    assert found.isnan().tolist() == [False, True, False]
