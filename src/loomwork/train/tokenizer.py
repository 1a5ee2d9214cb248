"""Train a tokenizer: byte-level byte-pair encoding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.score import write_json
from loomwork.core.step import Card, step

BEGIN, END, MASK = "<|begin_of_text|>", "<|end_of_text|>", "<|mask|>"
SMALLEST = 256 + 2  # every byte, and the two control tokens


@step(makes="tokenizer", uses=["tokenizers"], heavy=True)
def tokenizer(
    data: Dataset, *, text: str = "text", vocabulary: Annotated[int, Ge(SMALLEST)] = 8192, mask: bool = False, out: Path
) -> Card:
    """Train a byte-level BPE tokenizer, which writes any text and reads it back unchanged.

    Saved as tokenizer.json and tokenizer_config.json, which transformers' PreTrainedTokenizerFast opens. It begins
    a text with <|begin_of_text|>; training ends it with <|end_of_text|>. Words are split as in GPT-2.

    Args:
        data: the texts; they are streamed.
        text: the column that holds them; rows without a text are passed over.
        vocabulary: how many tokens, 258 (bytes and two control tokens) or more. Fewer come out of a small text.
        mask: add a token that masks, <|mask|>, which train.pretrain_masked needs.

    Raises:
        InputError: the column is missing, the dataset is empty, or the vocabulary is too small.

    Source: Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2019 (GPT-2: byte level).
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    controls = [BEGIN, END, *([MASK] if mask else [])]
    if vocabulary < SMALLEST + mask:
        raise InputError(f"vocabulary is {vocabulary}; it must hold all bytes", f"give {SMALLEST + mask} or more")
    data.require(text)
    data.require_rows()
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=controls,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    seen = {"texts": 0, "bytes": 0}
    made.train_from_iterator(_batches(data, text, seen), trainer)
    made.post_processor = processors.TemplateProcessing(single=[BEGIN, "$A"], special_tokens=[(BEGIN, 0), (END, 1)])
    made.save(str(out / "tokenizer.json"))
    write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BEGIN,
            "eos_token": END,
            **({"mask_token": MASK} if mask else {}),
            "clean_up_tokenization_spaces": False,
        },
    )
    size = made.get_vocab_size()
    tokens = sum(len(e) - 1 for batch in _batches(data, text, {}) for e in made.encode_batch_fast(batch))
    metrics = {"vocabulary": size, "tokens": tokens, "bytes_per_token": seen["bytes"] / max(1, tokens)}
    notes = [f"the text gave {size} tokens, not {vocabulary}"] if size < vocabulary else []
    return Card(metrics={k: float(v) for k, v in metrics.items()}, notes=notes)


def _batches(data: Dataset, column: str, seen: dict[str, int]) -> Iterator[list[str]]:
    """Texts by the batch, empty rows left out; `seen` counts them."""
    total = len(data)
    for batch in data.batches([column], rows=1024):
        texts = [t for t in batch.column(column).to_pylist() if t]
        seen["texts"] = seen.get("texts", 0) + batch.num_rows
        seen["bytes"] = seen.get("bytes", 0) + sum(len(t.encode()) for t in texts)
        context().progress(seen["texts"], total, "texts")
        yield texts
