"""Train a Llama-architecture language model from nothing."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from loomwork.core.artifact import Tokenizer, digest
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step

if TYPE_CHECKING:
    from loomwork.learn.packing import Packing
    from loomwork.models.packed_llama import PackedLlama

HEAD_WIDTH = 64
WATCHED = 5  # how often the held-out text is looked at, the end included
WATCHED_BATCHES = 8  # how much of it


@step(makes="model", uses=["torch", "transformers", "tokenizers", "numpy"], heavy=True)
def pretrain(
    data: Dataset,
    tokenizer: Tokenizer,
    holdout: Dataset | None = None,
    *,
    text: str = "text",
    layers: int = 4,
    tokens: int = 2_000_000,
    context_tokens: int = 256,
    batch_tokens: int = 8192,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.1,
    seed: int = 0,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    out: Path,
) -> Card:
    """Train a small Llama-architecture decoder from random weights, on a fixed number of tokens.

    Texts begin and end with their control tokens. They are packed into rows of `context_tokens`, by best fit and in a
    new random order each epoch, with attention kept inside each text and positions begun anew: measured on two
    cores this costs no more than attention across texts (68 against 68 ms a layer at 8192 tokens), and a text's loss
    is the one it has alone. A longer text is cut, each piece beginning with the last token of the one before.
    The folder opens in transformers' LlamaForCausalLM. On CPU, the same inputs give the same bytes.

    Args:
        data: the texts to train on.
        tokenizer: with a beginning-of-text and an end-of-text token, such as train.tokenizer makes.
        holdout: texts on which the loss is watched a few times, as the series `holdout_bits_per_byte`: of a sample,
            the pieces of a long text each alone, ends counted. Nothing is decided by it.
        text: the column that holds the texts, in both.
        layers: the one dial of size: the width is 64 times it, with heads of 64 and an MLP of 8/3 the width.
        tokens: how many tokens are predicted in training, to the nearest batch; more than the data has means epochs.
        context_tokens: the most the model reads.
        batch_tokens: of one step.
        learning_rate: at its peak, after a warm-up over 5 % of the steps; then a cosine down to a hundredth of it.
        weight_decay: of AdamW, on matrices.
        seed: of the weights and of the order.
        precision: of the matrix products; "auto" takes the run's. Weights and sums are float32 in either.

    Raises:
        InputError: no text, a tokenizer without control tokens, or a setting out of range.

    Source: Touvron et al. 2023, arXiv:2302.13971 (architecture); Krell et al. 2021, arXiv:2107.02027 (packing).
    """
    if min(layers, tokens, batch_tokens) < 1 or context_tokens < 8 or batch_tokens < context_tokens:
        raise InputError(
            f"cannot train with {layers=}, {tokens=}, {context_tokens=}, {batch_tokens=}",
            "layers and tokens are 1 or more, context_tokens is 8 or more, batch_tokens is at least that",
        )
    for given in (data, holdout):
        if given is not None:
            given.require(text)
            given.require_rows()
    import torch
    from transformers import AutoTokenizer

    from loomwork.learn.loop import fit
    from loomwork.learn.packing import Packing, read_pieces, to_device
    from loomwork.models.folder import About, save_about, taught
    from loomwork.models.packed_llama import PackedLlama

    ours = context()
    opened = AutoTokenizer.from_pretrained(tokenizer.path, local_files_only=True)
    settings = {
        "layers": layers,
        "tokens": tokens,
        "context_tokens": context_tokens,
        "batch_tokens": batch_tokens,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "seed": seed,
    }
    pieces = read_pieces(data, text, opened, context_tokens, ours.work / "train.tokens")
    packing = Packing(pieces, context_tokens, batch_tokens // context_tokens, seed)
    steps = max(1, round(tokens / packing.targets_per_step))
    chosen = ours.precision if precision == "auto" else precision
    model = PackedLlama(_fresh(opened, layers, context_tokens, seed), getattr(torch, chosen)).to(ours.device)
    watch = _Watch(model, None, steps)
    if holdout is not None:
        held = read_pieces(holdout, text, opened, context_tokens, ours.work / "holdout.tokens")
        watch = _Watch(model, Packing(held, context_tokens, packing.rows, seed), steps)

    def loss_at(number: int) -> torch.Tensor:
        watch.before(number)
        loss: torch.Tensor = model(to_device(packing.batch(number), ours.device))
        return loss

    history = fit(
        model,
        loss_at,
        steps=steps,
        learning_rate=learning_rate,
        schedule="cosine",
        warmup_steps=max(1, steps // 20),
        floor=0.01,
        weight_decay=weight_decay,
        betas=(0.9, 0.95),
        seed=seed,
        tokens_at=lambda number: round(packing.targets_per_step),
        # Without a runner the work folder is shared: another run's checkpoint must not be taken for this one's.
        name="pretrain-" + digest([data.digest, text, tokenizer.digest, chosen, settings])[:16],
    )
    watch.before(steps)
    _save(model.cpu().to_transformers(), tokenizer, out)
    about = About("generate", training_data=[], training=settings)
    save_about(out, replace(about, trained_on=taught(about, data, text)))
    trained = steps * packing.targets_per_step
    metrics = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": steps,
        "trained_tokens": round(trained),
        "epochs": trained / packing.targets_per_epoch,
        "filled_share": packing.filled,
        "last_loss": history.last_loss(),
        "training_seconds": history.seconds,
    }
    if history.tokens:
        metrics["tokens_per_second"] = history.tokens / max(history.seconds, 1e-9)
    return Card(metrics={name: float(value) for name, value in metrics.items()})


def _save(model: Any, tokenizer: Tokenizer, out: Path) -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model.save_pretrained(out)
    for file in sorted(tokenizer.path.glob("*.json")):
        shutil.copyfile(file, out / file.name)


def _fresh(tokenizer: Any, layers: int, context_tokens: int, seed: int) -> Any:
    """A LlamaForCausalLM with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    width = HEAD_WIDTH * layers
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=math.ceil(width * 8 / 3 / HEAD_WIDTH) * HEAD_WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=layers,
        num_key_value_heads=layers,
        max_position_embeddings=context_tokens,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        # Each layer adds to the stream twice; scaled so, the sum keeps its size whatever the depth (GPT-2).
        with torch.no_grad():
            for layer in model.model.layers:
                layer.self_attn.o_proj.weight.mul_((2 * layers) ** -0.5)
                layer.mlp.down_proj.weight.mul_((2 * layers) ** -0.5)
    return model


class _Watch:
    """Looks at a sample of the held-out text a few times during a run."""

    def __init__(self, model: PackedLlama, held: Packing | None, steps: int) -> None:
        self.model, self.held = model, held
        self.points = {steps * i // WATCHED for i in range(1, WATCHED + 1)}

    def before(self, step: int) -> None:
        """To be called before each step, and once at the end."""
        if self.held and step in self.points:
            context().metric("holdout_bits_per_byte", self.bits_per_byte(), step)

    def bits_per_byte(self) -> float:
        import torch

        from loomwork.learn.packing import to_device
        from loomwork.models.packed_llama import IGNORED

        held = self.held
        assert held is not None
        nats, targets = 0.0, 0
        with torch.no_grad():
            for first in range(0, min(held.rows_per_epoch, WATCHED_BATCHES * held.rows), held.rows):
                rows = held.take(first, min(held.rows, held.rows_per_epoch - first))
                count = int((rows.targets != IGNORED).sum())
                nats += float(self.model(to_device(rows, context().device))) * count
                targets += count
        return nats / targets * held.targets_per_epoch / held.pieces.text_bytes / math.log(2)
