"""The peers of bench/loglikelihood.py: lm-evaluation-harness where it is installed, and a plain transformers loop."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch

Pair = tuple[str, str]
Scores = list[tuple[float, bool]]


def harness(model: Any, tokenizer: Any) -> Callable[[int], Any] | None:
    """lm-evaluation-harness's HFLM around the same model, by batch size; None where it is not installed."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        from lm_eval.models.huggingface import HFLM
    except ImportError:
        return None
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return lambda size: HFLM(pretrained=model, tokenizer=tokenizer, batch_size=size, device="cpu")


def instances(kind: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, a, n) for n, a in enumerate(arguments)]


def with_harness(lm: Any, kind: str, arguments: Sequence[tuple[Any, ...]]) -> Any:
    """What HFLM answers to `loglikelihood`, `loglikelihood_rolling` or `generate_until`."""
    return getattr(lm, kind)(instances(kind, arguments), disable_tqdm=True)


@torch.inference_mode()
def with_plain_loop(model: Any, tokenizer: Any, pairs: Sequence[Pair], size: int) -> Scores:
    """Every request for itself, padded to batches of `size` by length, log-softmax of all logits."""
    whole = [tokenizer.encode(c + e) for c, e in pairs]
    starts = [len(tokenizer.encode(c)) for c, _ in pairs]
    order = sorted(range(len(pairs)), key=lambda i: -len(whole[i]))
    found: dict[int, tuple[float, bool]] = {}
    for at in range(0, len(order), size):
        some = order[at : at + size]
        ids = torch.zeros(len(some), len(whole[some[0]]) - 1, dtype=torch.long)
        for line, i in zip(ids, some, strict=True):
            line[: len(whole[i]) - 1] = torch.tensor(whole[i][:-1])
        log_p = model(input_ids=ids).logits.log_softmax(-1)
        for line, i in zip(log_p, some, strict=True):
            targets = torch.tensor(whole[i][starts[i] :])
            scored = line[starts[i] - 1 : len(whole[i]) - 1]
            total = scored.gather(1, targets[:, None]).sum()
            found[i] = float(total), bool((scored.argmax(-1) == targets).all())
    return [found[i] for i in range(len(pairs))]
