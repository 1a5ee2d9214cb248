"""Let a teacher write what students learn from: distillation by texts, across any tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.ranges import Seed
from loomwork.core.step import Card, step


@step(makes="dataset", uses=["torch", "transformers", "tokenizers"], heavy=True)
def teacher_text(
    teacher: Model,
    data: Dataset,
    *,
    text: str = "text",
    template: str = "",
    samples: Annotated[int, Ge(1)] = 1,
    max_tokens: Annotated[int, Ge(1)] = 256,
    temperature: Annotated[float, Ge(0)] = 0.0,
    top_p: Annotated[float, Gt(0), Le(1)] = 1.0,
    stop: list[str] | None = None,
    seed: Seed = 0,
    out: Path,
) -> Card:
    """Let a causal language model answer prompts, as a dataset that train.sft or train.pretrain takes.

    Answers are made many at a time, and kept as they come: a killed run does not write them again. A row whose prompt
    is refused or too long, or whose answer is empty, is dropped with the reason.

    Args:
        teacher: the model.
        data: conversations (`messages`): the teacher writes the answer to the last turn that is not the assistant's,
            and what followed it is left out. Or texts, which the teacher goes on with: the new text is both.
        text: the column of texts.
        template: of conversations; "" for the tokenizer's own.
        samples: how many answers a prompt gets, each from a seed of its own; more than one needs a temperature.
        max_tokens: of an answer; a longer one ends there.
        temperature: of the sampling; 0 takes the likeliest token each time.
        top_p: sample from the smallest set of tokens with at least this probability.
        stop: strings that end an answer. In conversations the template's end of a turn does so anyway.
        seed: of the sampling.

    Raises:
        InputError: there are no prompts, or settings do not go together.

    Source: Kim and Rush 2016, arXiv:1606.07947 (sequence-level knowledge distillation).
    """
    from loomwork.models.chat_template import ChatTemplate
    from loomwork.models.decoder import load_decoder
    from loomwork.models.scoring.requests import Generate
    from loomwork.train._token_rows import columns_of

    if samples > 1 and temperature == 0:
        raise InputError(
            f"samples is {samples}, and at temperature 0 all are alike", "set temperature: 1, or samples: 1"
        )
    (column,) = columns_of(data, text, template)
    if column == "input_ids":
        raise InputError("token rows are no prompts", "give conversations or texts")
    decoder = load_decoder(teacher)
    chats = ChatTemplate(decoder.tokenizer, template) if column == "messages" else None
    ends = list(stop or [])
    if chats:
        token, text_end = chats.turn_end()
        decoder.end_ids |= {token} - {None}
        ends += [text_end] if text_end else []
    keep = context().kept / "answers.sqlite"
    counts = {"answers": 0, "tokens": 0, "cut": 0}
    with DatasetWriter(out) as writer:
        for table in data.tables():
            rows = table.to_pylist()
            prompts = [_prompt(row[column], chats) for row in rows]
            asked = [
                (
                    row,
                    text_,
                    Generate(text_, tuple(ends), max_tokens, temperature, top_p, seed + number, begin=not chats),
                )
                for number in range(samples)
                for row, (text_, why) in enumerate(prompts)
                if not why
            ]
            answers = decoder.score([request for _, _, request in asked], keep=keep)
            made: list[dict[str, Any]] = []
            origins: list[bytes] = []
            faults = {row: why for row, (_, why) in enumerate(prompts) if why}
            for (row, begun, _), answer in zip(asked, answers, strict=True):
                said = answer.text.strip() if chats else answer.text
                if answer.failed or answer.cut_tokens or not said.strip():
                    faults[row] = answer.failed or ("the prompt is too long" if answer.cut_tokens else "no answer")
                    continue
                if chats:
                    turns = [*_asked(rows[row][column]), {"role": "assistant", "content": said}]
                    made.append({"messages": turns})
                else:
                    made.append({column: begun + said})
                origins.append(rows[row]["row_id"])
                counts["answers"] += 1
                counts["tokens"] += answer.tokens
                counts["cut"] += answer.tokens >= max_tokens
            if made:
                writer.write(made, origins=origins)
            kept = set(origins)
            lost = [i for i in faults if rows[i]["row_id"] not in kept]
            if lost:
                writer.drop(table.take(lost), [faults[i] for i in lost])
    if not counts["answers"]:
        raise InputError(f"the teacher answered none of {len(data)} prompts: {dict(writer.reasons)}")
    return Card(
        metrics={
            "rows": float(counts["answers"]),
            "rows_dropped": float(writer.counts["dropped"]),
            "generated_tokens": float(counts["tokens"]),
            "cut_share": counts["cut"] / counts["answers"],
        },
        notes=[f"dropped: {n} rows, {why}" for why, n in writer.reasons.most_common()],
    )


def _asked(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """A conversation up to its last turn that is not the assistant's; [] if there is none."""
    last = max((i for i, m in enumerate(messages or []) if m["role"] != "assistant"), default=-1)
    return [{"role": m["role"], "content": m["content"]} for m in (messages or [])[: last + 1]]


def _prompt(value: Any, chats: Any) -> tuple[str, str]:
    """What the teacher reads, and why it cannot, or ""."""
    if chats is None:
        return (value, "") if value else ("", "no text")
    if value and not (isinstance(value, list) and all(isinstance(m, dict) and m.get("role") for m in value)):
        return "", "messages that are no list of turns"
    turns = _asked(value)
    if not turns:
        return "", "nobody asks"
    try:
        chats.render(turns)
        return chats.text(turns, ask=True), ""
    except InputError as error:
        return "", error.what
