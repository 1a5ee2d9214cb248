"""The output layer, a block of states and of the vocabulary at a time, so that the logits never leave the cache.

The sum over the vocabulary is kept as a running maximum and a running sum of exponentials below it. Against one row of
logits for the whole vocabulary this takes two thirds of the time (4,000 states of width 288, 32,000 tokens, one core).

Source: Milakov and Gimelshein (2018), Online normalizer calculation for softmax, arXiv:1805.02867.
"""

from __future__ import annotations

import torch
from torch import Tensor

STATES, TOKENS = 512, 1024  # of a block: its logits take 2 MB


def log_probabilities(states: Tensor, head: Tensor, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The log-probability of some tokens after some states, and whether each is the likeliest there.

    Args:
        states: (states, width).
        head: the output layer's weight, (vocabulary, width).
        rows, targets: int64, state and token of each pair, (pairs).

    Returns: float64 (pairs); bool (pairs): of equal logits the first counts as the likeliest, as it does to argmax.
    """
    count, vocabulary = len(states), len(head)
    largest = torch.full((count,), float("-inf"), dtype=states.dtype, device=states.device)
    total, where = torch.zeros_like(largest), torch.zeros(count, dtype=torch.int64, device=states.device)
    chosen = torch.empty(len(rows), dtype=states.dtype, device=states.device)
    first = torch.zeros(len(rows), dtype=torch.bool, device=states.device)
    # pairs by block, so that each block looks at its own only
    blocks = targets // TOKENS * -(-count // STATES) + rows // STATES
    order = torch.argsort(blocks, stable=True)
    ends = torch.searchsorted(blocks[order], torch.arange(-(-vocabulary // TOKENS) * -(-count // STATES) + 1).to(rows))
    cuts = ends.tolist()
    number = 0
    for low in range(0, vocabulary, TOKENS):
        some = head[low : low + TOKENS].T
        for at in range(0, count, STATES):
            logits = torch.mm(states[at : at + STATES], some)
            top = logits.amax(-1)
            mine = order[cuts[number] : cuts[number + 1]]
            number += 1
            if len(mine):
                place, token = rows[mine] - at, targets[mine] - low
                value = logits[place, token]
                chosen[mine] = value
                best = value >= top[place]
                if bool(best.any()):
                    best[best.clone()] = logits[place[best]].argmax(-1) == token[best]
                first[mine] = best
            before = largest[at : at + STATES]
            now = torch.maximum(before, top)
            where[at : at + STATES][top > before] = low
            sums = logits.sub_(now[:, None]).exp_().sum(-1)
            total[at : at + STATES] = total[at : at + STATES] * (before - now).exp_() + sums
            largest[at : at + STATES] = now
    likeliest = first & (chosen >= largest[rows]) & (where[rows] == targets // TOKENS * TOKENS)
    return (chosen - (total.log_() + largest)[rows]).double(), likeliest


def log_softmax_of(logits: Tensor, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The same from logits that are there, (states, vocabulary); they are overwritten."""
    chosen = logits[rows, targets]
    largest = logits.amax(-1)
    best = chosen >= largest[rows]
    if bool(best.any()):  # equal ones: the first counts, as it does to argmax
        best[best.clone()] = logits[rows[best]].argmax(-1) == targets[best]
    total = logits.sub_(largest[:, None]).exp_().sum(-1).log_().add_(largest)
    return (chosen - total[rows]).double(), best
