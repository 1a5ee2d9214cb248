"""Chat, instruction and preference data, brought to one schema."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from loomwork.core.context import context
from loomwork.core.dataset import OURS, Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step
from loomwork.core.tables import given_names
from loomwork.data._rows import counted
from loomwork.text.chat import Fault, Format, convert, read_columns, recognise, used_columns

PREFERENCE = ("prompt", "chosen", "rejected")


@step(makes="dataset", uses=["pyarrow"])
def chat(
    data: Dataset,
    *,
    format: Literal["auto", "messages", "sharegpt", "alpaca", "prompt-completion", "preference"] = "auto",
    rename: dict[str, str] | None = None,
    out: Path,
) -> Card:
    """Recognise a chat, instruction or preference format, check every conversation, and bring it to one schema.

    The result has a column `messages`, or for preferences `prompt`, `chosen` and `rejected`: lists of
    {role, content}, with the roles system, user, assistant and tool. Other columns are kept; one that has such a name
    becomes `given_messages` and so on. Rows that are no well-formed conversation are dropped, with the reason: an empty
    message, roles that do not alternate, an end without an answer, content that is not text, a chosen answer equal to
    the rejected one.

    | format | columns |
    |---|---|
    | messages | `messages`: [{role, content}], OpenAI's |
    | sharegpt | `conversations`: [{from, value}], and `system` |
    | alpaca | `instruction`, `input`, `output`, and `system`, `history` |
    | prompt-completion | `prompt` or `question`, and `completion`, `response` or `answer` |
    | preference | `chosen` and `rejected`, a prompt, and `system`; or two whole conversations |

    The prompt of a preference is the first that is there of `prompt`, `question`, `instruction` (with `input`),
    `query`, `input`, `conversations` and `messages`; the whole chosen conversation, in the last two, is no prompt.

    Args:
        data: rows in one of these formats.
        format: which; auto tells it by the columns.
        rename: other names of these columns, as {their name: the name above}.

    Raises:
        InputError: the format is not recognised, two columns would have one name, or no row is well-formed.
    """
    import pyarrow as pa

    data.require_rows()
    have = data.schema.names
    data.require(*(rename or {}))
    _require_own_names(have, rename or {})
    names = [(rename or {}).get(n, n) for n in have if n not in OURS]
    kind: Format | None = recognise(names) if format == "auto" else format
    if kind is None:
        raise InputError(
            f"no chat format is recognised in the columns {', '.join(names)}",
            "name the columns with rename: {theirs: prompt, other: completion}, or say format:",
        )
    used, looked_at = set(used_columns(kind, names)), read_columns(kind, names)
    made = PREFERENCE if kind == "preference" else ("messages",)
    message = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    turns = done = 0
    with DatasetWriter(out) as writer:
        for given in data.tables():
            table = given.rename_columns([(rename or {}).get(n, n) for n in given.column_names])
            found: list[dict[str, list[dict[str, str]]]] = []
            reasons = []
            for record in table.select(looked_at).to_pylist():
                try:
                    found.append(convert(record, kind))
                    reasons.append("")
                except Fault as fault:
                    reasons.append(str(fault))
            good = pa.array([not r for r in reasons])
            kept = table.filter(good)
            ids = kept.column("row_id")
            kept = kept.drop_columns(sorted(used))
            kept = kept.rename_columns(given_names(kept.column_names, made))
            for name in made:
                kept = kept.append_column(name, pa.array([f[name] for f in found], message))
            turns += sum(len(v) for f in found for v in f.values())
            writer.write(kept, origins=ids)
            writer.drop(given.filter(pa.array([bool(r) for r in reasons])), [r for r in reasons if r])
            done += len(table)
            context().progress(done, len(data), "rows")
    if not turns:
        worst = ", ".join(f"{n} x {reason}" for reason, n in writer.reasons.most_common(3))
        raise InputError(f"no row is a well-formed {kind} record: {worst}", "another format:, or mend the records")
    card = counted(writer, messages=turns)
    card.notes.append(f"format: {kind}")
    return card


def _require_own_names(have: list[str], rename: dict[str, str]) -> None:
    """Refuse names that two columns would have, or that are no columns of the user's."""
    if ours := [n for pair in rename.items() for n in pair if n in OURS]:
        raise InputError(f"rename: {ours[0]!r} is a column that every dataset has", "rename columns of your own")
    old: dict[str, str] = {}
    for name in have:
        new = rename.get(name, name)
        if new in old:
            raise InputError(
                f"rename: {old[new]!r} and {name!r} would both be {new!r}",
                f"give the column {new!r} another name, too: {{{new}: old_{new}}}"
                if new in have and new not in rename
                else "rename only one of them",
            )
        old[new] = name
