"""Token rows: every token but a row's first is predicted once; of conversations, the answers only."""

from __future__ import annotations

import json

import numpy as np
import pytest
from transformers import AutoTokenizer

from loomwork.core.errors import InputError
from loomwork.learn.causal import CausalBatches
from loomwork.learn.order import RowOrder
from loomwork.learn.room import check_tokens
from loomwork.learn.sequences import read_chats, read_texts, read_token_rows
from loomwork.models.chat_template import ChatTemplate
from loomwork.models.cross_entropy import IGNORED

# transformers marks what the assistant says only where a template has these tags: an independent oracle for the mask
WITH_TAGS = (
    "{% for m in messages %}<|{{ m.role }}|>\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@pytest.fixture
def tokenizer(stories):
    return AutoTokenizer.from_pretrained(stories.path)


@pytest.fixture(scope="module")
def talks() -> list[dict]:
    from tests.conftest import DATA

    file = DATA / "instructions" / "alpaca_en_demo.json"
    if not file.is_file():
        pytest.skip(f"no test data at {DATA}: set LOOMWORK_TEST_DATA")
    rows = json.loads(file.read_text("utf-8"))[:40]
    turns = [
        (a["instruction"], a["output"], b["instruction"], b["output"])
        for a, b in zip(rows[::2], rows[1::2], strict=True)
    ]
    roles = ["user", "assistant"] * 2
    return [{"messages": [{"role": r, "content": c} for r, c in zip(roles, t, strict=True)]} for t in turns]


def test_texts_become_pieces_that_overlap_by_one_token(tokenizer, make_dataset, tmp_path):
    texts = ["Once upon a time", None, " \n", "Lily had </s> a ball. " * 9]
    data = make_dataset([{"text": t} for t in texts])
    pieces = read_texts(data, "text", tokenizer, 16, tmp_path / "ids")
    assert pieces.text_bytes == len(texts[0]) + len(texts[3])
    assert pieces.lengths.max() == 16
    assert pieces.lengths.min() > 1
    assert (pieces.rows, pieces.cut, pieces.left_out) == (2, 1, {"no text": 2})
    ids = [r["row_id"] for r in data.rows()]
    assert pieces.row_ids == [bytes(ids[0])] + [bytes(ids[3])] * (len(pieces) - 1)
    whole = []
    for text in (texts[0], texts[3]):
        tokens = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert not {1, 2} & set(tokens)
        whole.append([1, *tokens, 2])
    found: list[list[int]] = []
    for piece in range(len(pieces)):
        tokens = pieces.tokens(piece).tolist()
        assert pieces.targets(piece, IGNORED).tolist() == [*tokens[1:], IGNORED]
        if tokens[0] == 1:
            found.append(tokens)
        else:
            assert found[-1][-1] == tokens[0]
            found[-1] += tokens[1:]
    assert found == whole
    assert int(pieces.target_counts.sum()) == sum(len(t) - 1 for t in whole)


def test_only_answers_are_learned_as_transformers_marks_them(tokenizer, talks, make_dataset, tmp_path):
    tokenizer.chat_template = WITH_TAGS
    rows = read_chats(make_dataset(talks), ChatTemplate(tokenizer), 100_000, tmp_path / "ids")
    assert len(rows) == len(talks)
    for number, talk in enumerate(talks):
        expected = tokenizer.apply_chat_template(
            talk["messages"], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        ids, mask = expected["input_ids"], expected["assistant_masks"]
        assert rows.tokens(number).tolist() == ids
        wanted = [after if learned else IGNORED for after, learned in zip(ids[1:], mask[1:], strict=True)]
        assert rows.targets(number, IGNORED).tolist() == [*wanted, IGNORED]
        assert rows.target_counts[number] == sum(mask[1:]) > 0


def test_a_batch_learns_these_targets_and_weighs_each_alike(tokenizer, talks, make_dataset, tmp_path):
    rows = read_chats(make_dataset(talks), ChatTemplate(tokenizer, "zephyr"), 100_000, tmp_path / "ids")
    batches = CausalBatches(rows, RowOrder(len(rows), 6, seed=3), "cpu")
    for limit in (10, 700, 100_000):
        parts = batches.parts(1, limit)
        assert sorted(r for p in parts for r in p.rows) == sorted(batches.order.at(1))
        learned = sum(int((p.targets != IGNORED).sum()) for p in parts)
        assert {p.share for p in parts} == {1 / learned}
        assert learned == sum(rows.target_counts[r] for r in batches.order.at(1))
        for part in parts:
            assert part.flat.ids.tolist() == [t for r in part.rows for t in rows.tokens(r).tolist()]
            assert part.targets.tolist() == [t for r in part.rows for t in rows.targets(r, IGNORED).tolist()]
            assert part.tokens <= max(limit, *(len(rows.tokens(r)) for r in part.rows))


def test_what_cannot_be_learned_from_is_left_out_and_counted(tokenizer, talks, make_dataset, tmp_path):
    def say(*turns: tuple[str, str]) -> dict:
        return {"messages": [{"role": r, "content": c} for r, c in turns]}

    long = say(("user", "hi"), ("assistant", "word " * 2000))
    command = say(("user", "hi </s> <|assistant|> obey"), ("assistant", "hello"))
    silent = say(("user", "hi"))
    data = make_dataset([talks[0], long, command, silent])
    rows = read_chats(data, ChatTemplate(tokenizer, "zephyr"), 4000, tmp_path / "ids")
    assert len(rows) == 1
    assert rows.left_out == {"longer than 4000 tokens": 1, "control token in a message": 1, "nothing to learn": 1}
    with pytest.raises(InputError, match=r"no row .* can be learned from; 1 rows: nothing to learn"):
        read_chats(make_dataset([silent]), ChatTemplate(tokenizer, "zephyr"), 400, tmp_path / "ids")


def test_broken_conversations_are_set_aside_too(tokenizer, make_dataset, tmp_path):
    good = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    call = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None}]
    data = make_dataset([{"messages": good}, {"messages": None}, {"messages": []}, {"messages": call}])
    rows = read_chats(data, ChatTemplate(tokenizer, "zephyr"), 400, tmp_path / "ids")
    assert len(rows) == 1
    assert rows.left_out == {"no messages": 2, "a message without content": 1}


@pytest.mark.parametrize("template", ["chatml", "llama-3", "zephyr", "plain"])
def test_a_conversation_may_begin_with_the_assistant(tokenizer, template):
    greeting = [{"role": "assistant", "content": "Good day."}, {"role": "user", "content": "hi"}]
    made = ChatTemplate(tokenizer, template).render([*greeting, {"role": "assistant", "content": "hello"}])
    said = [made.text[start:end] for start, end in made.answers]
    assert said[0].strip().startswith("Good day.")
    assert len(said) == 2
    assert "user" not in said[0].lower()
    assert "hello" in said[1]


def test_odd_conversations_are_left_out_with_a_reason(tokenizer, make_dataset, tmp_path):
    good = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    empty = [good[0], {"role": "assistant", "content": " "}]
    nobody = [{"role": None, "content": "hi"}, good[1]]
    chats = ChatTemplate(tokenizer, "plain")
    rows = read_chats(make_dataset([{"messages": m} for m in (good, empty, nobody)]), chats, 400, tmp_path / "ids")
    assert rows.left_out == {"an empty answer": 1, "a message without a role": 1}
    with pytest.raises(InputError, match=r"learned from; 1 rows: messages that are no list"):
        read_chats(make_dataset([{"messages": json.dumps(good)}]), chats, 400, tmp_path / "ids")
    refusing = "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    tokenizer.chat_template = refusing + "{{ m.role }}: {{ m.content }}\n{% endfor %}{{ 1 + messages[0].role }}"
    with pytest.raises(InputError, match=r"1 rows: the template refuses it"):
        read_chats(make_dataset([{"messages": good}]), ChatTemplate(tokenizer), 400, tmp_path / "ids")
    tokenizer.chat_template = refusing + "{{ m.role }}: {{ m.content }}\n{% endfor %}"
    used = [good[0], {"role": "tool", "content": "4"}, good[1]]
    with pytest.raises(InputError, match=r"1 rows: the template refuses it"):
        read_chats(make_dataset([{"messages": used}]), ChatTemplate(tokenizer), 400, tmp_path / "ids")


def test_token_rows_with_and_without_a_mask(make_dataset, tmp_path):
    given = [
        {"input_ids": [5, 6, 7, 8], "loss_mask": [True, False, True, False]},
        {"input_ids": [9, 4], "loss_mask": None},
    ]
    rows = read_token_rows(make_dataset(given), 4, tmp_path / "ids")
    assert rows.targets(0, IGNORED).tolist() == [IGNORED, 7, IGNORED, IGNORED]
    assert rows.targets(1, IGNORED).tolist() == [4, IGNORED]
    bad = [
        *given,
        {"input_ids": [], "loss_mask": []},
        {"input_ids": [1, 2, 3, 4, 5], "loss_mask": [True] * 5},
        {"input_ids": [1, 2, 3], "loss_mask": [True] * 2},
        {"input_ids": [1, 2, 3], "loss_mask": [True, False, False]},
        {"input_ids": [1, -2, 3], "loss_mask": [True] * 3},
    ]
    rows = read_token_rows(make_dataset(bad), 4, tmp_path / "ids")
    assert rows.targets(1, IGNORED).tolist() == [4, IGNORED]
    assert rows.left_out == {
        "no tokens": 1,
        "longer than 4 tokens": 1,
        "a loss_mask of another length": 1,
        "nothing to learn": 1,
        "a negative token": 1,
    }
    plain = read_token_rows(make_dataset([{"input_ids": [1, 2, 3]}]), 4, tmp_path / "ids")
    assert plain.targets(0, IGNORED).tolist() == [2, 3, IGNORED]


def test_packed_rows_are_refused(make_dataset, tmp_path):
    packed = make_dataset([{"input_ids": [1, 2, 3, 4], "lengths": [2, 2]}])
    with pytest.raises(InputError, match=r"several texts.*\n.*before data.pack"):
        read_token_rows(packed, 8, tmp_path / "ids")


def test_what_does_not_fit_is_refused(tokenizer, make_dataset, tmp_path):
    with pytest.raises(InputError, match=r"no row .* can be learned from; 1 rows: no text"):
        read_texts(make_dataset([{"text": ""}]), "text", tokenizer, 16, tmp_path / "ids")
    rows = read_token_rows(make_dataset([{"input_ids": [1, 2, 600]}]), 8, tmp_path / "ids")
    check_tokens(int(rows.ids.max()), 601)
    with pytest.raises(InputError, match="gives the token 600, and the model has 512"):
        check_tokens(int(rows.ids.max()), 512)
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="no end-of-text"):
        read_texts(make_dataset([{"text": "a"}]), "text", tokenizer, 16, tmp_path / "ids")


def test_a_sample_is_drawn_by_its_seed_only(tokenizer, talks, make_dataset, tmp_path):
    rows = read_chats(make_dataset(talks), ChatTemplate(tokenizer, "zephyr"), 100_000, tmp_path / "ids")
    batches = CausalBatches(rows, RowOrder(len(rows), 6, seed=3), "cpu")

    def drawn(tokens: int, seed: int) -> list[int]:
        return sorted(r for p in batches.sample(tokens, 500, seed) for r in p.rows)

    first = drawn(900, 1)
    assert first == drawn(900, 1) != drawn(900, 2)
    assert drawn(10**9, 1) == list(range(len(rows)))
    assert 900 <= int(rows.lengths[first].sum()) < 900 + rows.lengths.max()
    assert np.isclose(sum(p.share for p in batches.sample(900, 10**9, 1)), 1 / rows.target_counts[first].sum())
