"""The rows that a training step would learn, as an estimate needs them: how many tokens each has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.models.folder import positions


@dataclass(frozen=True)
class Lengths:
    """Of the rows that can be learned.

    Args:
        tokens: of each, all that is read of it.
        targets: how many of these are written by the decoder of an encoder-decoder model; empty for other models.
        classes: how many there are; 0 where nothing is classified.
    """

    tokens: list[int]
    targets: list[int] = field(default_factory=list)
    classes: int = 0


CLASSIFIED = 128  # tokens that a classifier reads, where neither its settings nor its teacher's say


def longest_row(use: str, settings: Mapping[str, Any], config: Any, kind: str) -> int:
    """The most tokens that a step reads of a row."""
    from loomwork.train._token_rows import MOST_TOKENS

    limit = positions(config.to_dict())
    if use == "train.pretrain":
        return int(settings["context_tokens"]) or min(2048, limit)
    if use == "train.translate":
        return 2 * min(int(settings["max_tokens"]), config.max_position_embeddings or int(settings["max_tokens"]))
    unsaid = CLASSIFIED if kind == "classes" else MOST_TOKENS  # of train.distill
    return min(int(settings["max_tokens"]) or unsaid, limit)


def columns_read(use: str, settings: Mapping[str, Any], data: Dataset) -> list[str]:
    """The columns that a step reads of a dataset.

    Raises:
        InputError: one of them is not there.
    """
    s, names = settings, data.schema.names
    token_rows = next((name for name in ("messages", "input_ids") if name in names), "")
    by_step: dict[str, list[Any]] = {
        "train.pretrain": [s.get("text")],
        "train.pretrain_masked": [s.get("text")],
        "train.classify": [s.get("text"), s.get("label")],
        "train.tag": [s.get("words"), s.get("tags")],
        "train.answer": [s.get("question"), s.get("context"), s.get("answers")],
        "train.translate": [s.get("source"), s.get("target")],
        "train.embed": [s.get("query"), s.get("passage")],
        "train.sft": [token_rows or "messages"],
        "train.distill": [token_rows or s.get("text")],
    }
    wanted = by_step[use]
    columns = [*wanted, *(["loss_mask"] if "loss_mask" in names and "input_ids" in wanted else [])]
    data.require(*columns)
    return columns


def read_lengths(use: str, settings: Mapping[str, Any], data: Dataset, model: Model, config: Any, kind: str) -> Lengths:
    """Read rows as the step does, into the work folder of the context.

    Args:
        use: the step.
        settings: of the call.
        data: some rows.
        model: gives the tokenizer.
        config: of the model that is trained.
        kind: of its output layer.

    Raises:
        InputError: the step would refuse the rows.
    """
    from loomwork.learn.masked import read_pieces, read_special
    from loomwork.learn.seq2seq import read_text_pairs
    from loomwork.learn.sequences import read_chats, read_texts, read_token_rows
    from loomwork.models.chat_template import ChatTemplate, load_tokenizer
    from loomwork.models.encoder import encode_counted
    from loomwork.models.encoder import load_tokenizer as fast_tokenizer
    from loomwork.models.translator import open_tokenizer
    from loomwork.train._token_rows import read_learned
    from loomwork.train.answer import read_questions
    from loomwork.train.classify import read_labelled
    from loomwork.train.embed import read_pairs
    from loomwork.train.tag import read_tagged

    s, file, longest = settings, context().work / "rows", longest_row(use, settings, config, kind)
    if use == "train.classify":
        numbers = s["target"] == "number"
        labelled = read_labelled(model, data, s["text"], s["label"], longest, numbers=numbers)
        return Lengths([len(ids) for ids in labelled.ids], classes=max(1, len(labelled.classes)))
    if use == "train.tag":
        tagged = read_tagged(model, data, s["words"], s["tags"], longest)
        return Lengths([len(ids) for ids in tagged.ids], classes=len(tagged.classes))
    if use == "train.answer":
        columns = (s["question"], s["context"], s["answers"])
        return Lengths([len(ids) for ids in read_questions(model, data, columns, longest, s["overlap_tokens"]).ids])
    if use == "train.translate":
        pairs = read_text_pairs(data, (s["source"], s["target"]), open_tokenizer(model), s["prefix"], longest // 2)
        return Lengths(pairs.lengths, [len(ids) for ids in pairs.targets])
    if use == "train.embed":
        ids = read_pairs(model, data, s["query"], s["passage"], longest).ids
        return Lengths([len(one) for one in ids])
    if use == "train.pretrain_masked":
        special = read_special(model)
        pieces = read_pieces(data, s["text"], fast_tokenizer(model), special, longest, file)
        return Lengths([int(n) for n in pieces.lengths])
    if use == "train.distill" and kind == "classes":
        texts = [t for row in data.rows([s["text"]]) if isinstance(t := row[s["text"]], str) and t.strip()]
        found, _ = encode_counted(fast_tokenizer(model), texts, longest)
        return Lengths([len(ids) for ids in found])
    if use == "train.distill":
        sequences = read_learned(model, data, s["text"], s["template"], s["max_tokens"], file)
    elif use == "train.pretrain":
        sequences = read_texts(data, s["text"], load_tokenizer(model), longest, file)
    elif "messages" in data.schema.names:
        sequences = read_chats(data, ChatTemplate(load_tokenizer(model), s["template"]), longest, file)
    else:
        sequences = read_token_rows(data, longest, file)
    return Lengths([int(n) for n in sequences.lengths])
