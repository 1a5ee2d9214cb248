"""The token rows that a causal model learns from, whatever columns a dataset has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from loomwork.core.artifact import Model
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.models.folder import within_context

if TYPE_CHECKING:
    from loomwork.learn.sequences import Sequences

MOST_TOKENS = 1024  # of a row, where nothing is said


def columns_of(data: Dataset, text: str, template: str) -> tuple[str, ...]:
    """The columns that are learned: conversations, else token rows, else texts.

    Raises:
        InputError: there are none, or a chat template is named and there are no conversations.
    """
    from loomwork.learn.room import check_texts

    names = data.schema.names if data.shards() else []
    found = next((name for name in ("messages", "input_ids") if name in names), text)
    refuse_raw_chats(data, found, template)
    if found == text:
        check_texts(data, found)
    data.require_rows()
    return (found,)


def refuse_raw_chats(data: Dataset, column: str, template: str) -> None:
    """Refuse chat data that is not yet in the form of `messages`, by its name.

    Args:
        data: the dataset.
        column: that is to be learned.
        template: of conversations; "" where none is named.

    Raises:
        InputError: the column is not there, and those of a layout of chats are, or a chat template is named.
    """
    from loomwork.text.chat import recognise

    if column == "messages":
        return
    names = data.schema.names if data.shards() else []
    hint = "bring Alpaca, ShareGPT and the like to it with data.chat first"
    if column not in names and (layout := recognise(names)):
        raise InputError(f"no column `messages`: these are chats in the layout {layout}", hint)
    if column not in names and (template or column == "input_ids"):
        also = "" if template else ", and no token rows `input_ids`"
        raise InputError(f"no column `messages`{also}", f"{hint}; train.pretrain learns texts")
    if template:
        what = f"template is for conversations, and there are none: no column `messages`, but {column!r}"
        raise InputError(what, f"leave it out; or {hint}")


def read_learned(
    model: Model, data: Dataset, text: str, template: str, max_tokens: int, file: Path, before: int = 0
) -> Sequences:
    """Read a dataset as train.sft reads conversations and token rows, and train.pretrain texts.

    Args:
        model: gives the tokenizer, and the most that is read.
        data: with a column `messages`, `input_ids` or `text`.
        text: the name of that last one.
        template: of conversations; "" for the tokenizer's own.
        max_tokens: of a row; 0 for what the model reads, at most 1,024.
        file: written anew.
        before: virtual tokens of an adapter, for which there must be room too.
    """
    from loomwork.learn.sequences import read_chats, read_texts, read_token_rows
    from loomwork.models.chat_template import ChatTemplate, load_tokenizer

    (column,) = columns_of(data, text, template)
    longest, _ = within_context(model, max_tokens or MOST_TOKENS, before)
    if column == "input_ids":
        return read_token_rows(data, longest, file)
    tokenizer = load_tokenizer(model)
    if column == "messages":
        return read_chats(data, ChatTemplate(tokenizer, template), longest, file)
    return read_texts(data, column, tokenizer, longest, file)


def require_one_tokenizer(student: Model, teacher: Model) -> None:
    """Refuse a teacher whose tokens mean something else.

    Raises:
        InputError: the two tokenizers have other tokens, or other numbers of them.
    """
    from loomwork.models.encoder import load_tokenizer

    mine, theirs = (load_tokenizer(model).get_vocab() for model in (student, teacher))
    if mine != theirs:
        different = [token for token in mine if theirs.get(token) != mine[token]][:3]
        raise InputError(
            f"teacher and student have different tokenizers ({len(theirs)} and {len(mine)} tokens; {different})",
            "what a teacher says of tokens needs the same ones: train.student makes a student of the teacher; "
            "train.teacher_text teaches by texts, to any student",
        )


def merged_past(student: Any, teacher: Any) -> dict[str, Any]:
    """What a student was trained on once its teacher has taught it: what both were, for `dataclasses.replace`.

    Args:
        student: its About.
        teacher: the teacher's, or LogProbabilities.
    """
    datasets = [*student.trained_on, *(d for d in teacher.trained_on if d not in student.trained_on)]
    both = (student.training_data, teacher.training_data)
    declared = None if None in both else sorted({name for some in both for name in some})
    return {"trained_on": datasets, "training_data": declared}
