"""Chat messages whose content is a text in some rows and a list of parts in others, which OpenAI's format allows.

A column has one type, so all rows get the form of the first that were read. Where those have both it is text, or parts
if some of them are no text, which are thus kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from loomwork.data.readers import Fault
from loomwork.text import chat

if TYPE_CHECKING:
    import pyarrow as pa

COLUMN = "messages"
Form = Literal["", "text", "parts"]  # "" where there is no need of one


def one_form(rows: Any, places: Sequence[int], known: pa.Schema) -> tuple[Any, Sequence[int], list[Fault]]:
    """Rows whose messages have the form of the rows before them, their places, and the rows that cannot have it.

    Args:
        rows: dicts or an Arrow table.
        places: the place of each.
        known: the columns of the rows before.
    """
    import pyarrow as pa

    table = rows if isinstance(rows, pa.Table) else None
    if table is not None:
        form = _of_schema(known)
        if not form or _of_schema(table.schema) in ("", form):
            return rows, places, []
        given = table.column(COLUMN).to_pylist()
    else:
        given = [row.get(COLUMN) for row in rows]
        form = _of_schema(known) or _needed(given)
        if not form:
            return rows, places, []
    made, kept, faults = [], [], []
    for at, turns in enumerate(given):
        try:
            made.append(_recast(turns, form))
            kept.append(at)
        except chat.Fault as fault:
            row = table.slice(at, 1).to_pylist()[0] if table is not None else rows[at]
            faults.append(Fault(places[at], str(fault), json.dumps(row, default=str)))
    places = [places[at] for at in kept]
    if table is not None:
        column = table.column_names.index(COLUMN)
        return table.take(pa.array(kept, pa.int64())).set_column(column, COLUMN, pa.array(made)), places, faults
    changed = [rows[at] | ({COLUMN: new} if COLUMN in rows[at] else {}) for at, new in zip(kept, made, strict=True)]
    return changed, places, faults


def _of_schema(schema: pa.Schema) -> Form:
    """The form of the messages in a table with these columns; "" without messages, or if none has content."""
    import pyarrow.types as t

    if COLUMN not in schema.names or not _is_list(kind := schema.field(COLUMN).type):
        return ""
    turn = kind.value_type
    if not t.is_struct(turn) or (at := turn.get_field_index("content")) < 0:
        return ""
    content = turn.field(at).type
    return "text" if t.is_string(content) or t.is_large_string(content) else "parts" if _is_list(content) else ""


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow.types as t

    return bool(t.is_list(kind) or t.is_large_list(kind))


def _needed(given: Iterable[Any]) -> Form:
    """The form that messages of both forms get; "" where all have the same."""
    contents = [turn.get("content") for turns in given for turn in _turns(turns)]
    parts = [content for content in contents if isinstance(content, list)]
    if not parts or not any(isinstance(content, str) for content in contents):
        return ""
    return "text" if all(chat.is_text(part) for content in parts for part in content) else "parts"


def _turns(turns: Any) -> Iterator[dict[str, Any]]:
    if isinstance(turns, list):
        yield from (turn for turn in turns if isinstance(turn, dict))


def _recast(turns: Any, form: Form) -> Any:
    """The messages of one row in a form; what are no messages stay as they are.

    Raises:
        chat.Fault: a part is no text, where texts are needed.
    """
    other = list if form == "text" else str
    if not any(isinstance(turn.get("content"), other) for turn in _turns(turns)):
        return turns
    made = []
    for number, turn in enumerate(turns, 1):
        if isinstance(turn, dict) and isinstance(content := turn.get("content"), other):
            try:
                new = chat.content_text(content) if form == "text" else [{"type": "text", "text": content}]
            except chat.Fault as fault:
                raise chat.Fault(f"{fault} in message {number}, where other rows have text") from None
            turn = turn | {"content": new}
        made.append(turn)
    return made
