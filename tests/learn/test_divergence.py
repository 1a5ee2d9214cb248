"""Divergences against their formulas, in float64, and against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax
from torch.nn import functional as F

from loomwork.learn.divergence import Divergence, Top

logits = arrays(np.float64, (3, 7), elements=st.floats(-30, 30))
temperatures = st.floats(0.3, 8)
mixtures = st.floats(0.02, 0.98)


def by_hand(kind: str, student: np.ndarray, teacher: np.ndarray, temperature: float, mixture: float) -> np.ndarray:
    p, q = (np.exp(log_softmax(x / temperature, axis=-1)) for x in (teacher, student))
    m = mixture * p + (1 - mixture) * q

    def kl(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sum(a * (np.log(a) - np.log(b)), axis=-1)

    found = {
        "forward": lambda: kl(p, q),
        "reverse": lambda: kl(q, p),
        "jensen_shannon": lambda: mixture * kl(p, m) + (1 - mixture) * kl(q, m),
    }
    return temperature**2 * found[kind]()


@pytest.mark.parametrize("kind", ["forward", "reverse", "jensen_shannon"])
@settings(deadline=None, max_examples=60)
@given(logits, logits, temperatures, mixtures)
def test_it_is_the_formula(kind, student, teacher, temperature, mixture):
    found = Divergence(kind, temperature, mixture).losses(torch.from_numpy(student), torch.from_numpy(teacher))
    expected = by_hand(kind, student, teacher, temperature, mixture)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-10)
    assert (found.numpy() >= -1e-10).all()


@pytest.mark.parametrize("kind", ["forward", "reverse", "jensen_shannon"])
@settings(deadline=None, max_examples=60)
@given(logits, logits, st.floats(0.8, 8), mixtures)
def test_its_gradient_is_what_autograd_makes_of_the_formula(kind, student, teacher, temperature, mixture):
    given = torch.from_numpy(student).requires_grad_()
    log_q = (given / temperature).log_softmax(-1)
    log_p = (torch.from_numpy(teacher) / temperature).log_softmax(-1)
    p, q = log_p.exp(), log_q.exp()
    log_m = (mixture * p + (1 - mixture) * q).log()
    formula = {
        "forward": p * (log_p - log_q),
        "reverse": q * (log_q - log_p),
        "jensen_shannon": mixture * p * (log_p - log_m) + (1 - mixture) * q * (log_q - log_m),
    }[kind]
    (expected,) = torch.autograd.grad(temperature**2 * formula.sum(), given)
    ours = torch.from_numpy(student).requires_grad_()
    Divergence(kind, temperature, mixture).losses(ours, torch.from_numpy(teacher)).sum().backward()
    torch.testing.assert_close(ours.grad, expected, rtol=1e-7, atol=1e-9)


def test_torch_has_the_same_kl():
    generator = torch.Generator().manual_seed(3)
    student, teacher = (3 * torch.randn(64, 200, generator=generator) for _ in range(2))
    expected = F.kl_div(student.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="none").sum(-1)
    torch.testing.assert_close(Divergence("forward").losses(student, teacher), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(Divergence("reverse").losses(teacher, student), expected, rtol=1e-5, atol=1e-5)
    half = Divergence("forward").losses(student.bfloat16(), teacher.bfloat16())
    torch.testing.assert_close(half, expected, rtol=0.05, atol=0.05)


def test_a_small_mixture_is_the_forward_divergence():
    """Agarwal et al. 2023: JSD(b) / b goes to KL(P, Q) as b goes to 0."""
    generator = torch.Generator().manual_seed(3)
    student, teacher = (torch.randn(8, 20, generator=generator, dtype=torch.float64) for _ in range(2))
    near = Divergence("jensen_shannon", mixture=1e-7).losses(student, teacher) / 1e-7
    torch.testing.assert_close(near, Divergence("forward").losses(student, teacher), rtol=1e-5, atol=1e-6)


def top(teacher: np.ndarray, k: int, temperature: float) -> Top:
    found = (torch.from_numpy(teacher) / temperature).log_softmax(-1).topk(k)
    return Top(found.indices, found.values)


@settings(deadline=None, max_examples=60)
@given(logits, logits, temperatures, st.integers(1, 7))
def test_the_likeliest_classes_and_the_rest_as_one(student, teacher, temperature, k):
    chosen = top(teacher, k, temperature)
    ids = chosen.ids.numpy()
    log_p, log_q = (log_softmax(x / temperature, axis=-1) for x in (teacher, student))
    p = np.take_along_axis(np.exp(log_p), ids, 1)
    expected = np.sum(p * np.take_along_axis(log_p - log_q, ids, 1), axis=-1)
    if k < 7:
        others = [[c for c in range(7) if c not in row] for row in ids]
        rest_p = 1 - p.sum(-1)
        rest_q = np.array([np.exp(row[o]).sum() for row, o in zip(log_q, others, strict=True)])
        rest_p = np.maximum(rest_p, 0)
        expected = expected + np.where(rest_p > 0, rest_p * np.log(np.maximum(rest_p, 1e-300) / rest_q), 0)
    given = torch.from_numpy(student).requires_grad_()
    how = Divergence("forward", temperature)
    found = how.losses(given, chosen)
    np.testing.assert_allclose(found.detach().numpy(), temperature**2 * expected, rtol=1e-7, atol=1e-9)
    whole = how.losses(torch.from_numpy(student), torch.from_numpy(teacher))
    assert (found <= whole + 1e-6 * (1 + whole)).all()  # lumping classes together loses information
    if k == 7:
        torch.testing.assert_close(found.detach(), whole, rtol=1e-8, atol=1e-9)


def test_the_gradient_of_the_likeliest_classes():
    generator = torch.Generator().manual_seed(3)
    student, teacher = (torch.randn(5, 9, generator=generator, dtype=torch.float64) for _ in range(2))
    for k in (1, 4, 9):
        chosen = top(teacher.numpy(), k, 2.0)
        how = Divergence("forward", 2.0)
        given = student.clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda x, c=chosen, h=how: h.losses(x, c), (given,))
