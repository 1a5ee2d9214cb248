"""Conversations as the text that a model reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from loomwork.core.artifact import Artifact
from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step
from loomwork.data._rows import counted

PREFERENCE = ("prompt", "chosen", "rejected")


@step(makes="dataset", uses=["transformers", "jinja2"])
def render(
    data: Dataset,
    tokenizer: Artifact,
    *,
    template: str = "",
    form: Literal["text", "pairs"] = "text",
    out: Path,
) -> Card:
    """Write conversations with a chat template: one text with the places of the answers, or prompt and completion.

    `text` gives the columns `text` and `answers`, a list of (start, end) in characters: what the assistant says, with
    the mark of its end. `pairs` gives `prompt`, all before the last answer, and `completion`. Preferences give
    `prompt`, `chosen` and `rejected` as texts, in either form. A row is dropped where a message holds one of the
    tokenizer's control tokens, since it could speak for the other side, and where the template refuses it.

    Args:
        data: what data.chat makes: `messages`, or `prompt`, `chosen` and `rejected`.
        tokenizer: the tokenizer, or the model, that is to read the text.
        template: chatml, llama-3, zephyr or plain; "" for the tokenizer's own.
        form: one text, or prompt and completion.

    Raises:
        InputError: there are no conversations, or no such template.
    """
    import pyarrow as pa

    from loomwork.models.chat_template import ChatTemplate, load_tokenizer

    data.require_rows()
    chats = ChatTemplate(load_tokenizer(tokenizer), template)
    have = data.schema.names
    preferences = set(PREFERENCE) <= set(have)
    if not preferences and "messages" not in have:
        raise InputError("the data has no column `messages`", "data.chat makes one of the common formats")
    used = PREFERENCE if preferences else ("messages",)
    done = 0
    with DatasetWriter(out) as writer:
        for table in data.tables():
            made: list[dict[str, Any]] = []
            reasons = []
            for row in table.select(list(used)).to_pylist():
                try:
                    made.append(_preference(chats, row) if preferences else _conversation(chats, row["messages"], form))
                    reasons.append("")
                except InputError as error:
                    reasons.append(error.what)
            kept = table.filter(pa.array([not r for r in reasons]))
            ids = kept.column("row_id")
            kept = kept.drop_columns([c for c in (*used, "text", "answers", "completion") if c in kept.column_names])
            for name in made[0] if made else ():
                kept = kept.append_column(name, pa.array([m[name] for m in made]))
            writer.write(kept, origins=ids)
            writer.drop(table.filter(pa.array([bool(r) for r in reasons])), [r for r in reasons if r])
            done += len(table)
            context().progress(done, len(data), "rows")
    return counted(writer)


def _conversation(chats: Any, messages: list[dict[str, str]], form: str) -> dict[str, Any]:
    found = chats.render(messages)
    if form == "text":
        return {"text": found.text, "answers": [list(span) for span in found.answers]}
    start = found.answers[-1][0]
    return {"prompt": found.text[:start], "completion": found.text[start:]}


def _preference(chats: Any, row: dict[str, Any]) -> dict[str, str]:
    sides: dict[str, str] = {}
    for name in PREFERENCE[1:]:
        found = chats.render([*row["prompt"], *row[name]])
        start = next(s for s, _ in found.answers if s >= len(chats.text(row["prompt"])))
        sides |= {"prompt": found.text[:start], name: found.text[start:]}
    return sides
