"""Files of SQuAD as rows: the official counts, answers where they say they are, what is none set aside."""

from __future__ import annotations

import json

import pytest

from loomwork.core.errors import InputError
from loomwork.data.read import read
from tests.data.read_rows import reasons, rows_of

COUNTS = {"dev-v1.1": (10570, 0), "dev-v2.0": (11873, 5945), "xquad.zh": (1190, 0)}  # questions, those without answer


@pytest.mark.parametrize("name", COUNTS)
def test_the_known_counts(name, test_data, run_step):
    data, card = run_step(read, path=test_data / "squad" / f"{name}.json", reader="squad")
    rows = rows_of(data)
    assert (len(rows), sum(not r["answers"]["text"] for r in rows)) == COUNTS[name]
    assert len({r["id"] for r in rows}) == len(rows)
    assert card.metrics["rows_dropped"] == 0
    for row in rows:
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert row["context"][start : start + len(text)] == text


def test_bad_questions_are_set_aside(tmp_path, run_step):
    good = {"id": "1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}
    bad = [{"id": "2", "answers": []}, {**good, "id": 3}, {**good, "answers": [{"text": "Ada"}]}, "no object"]
    paragraphs = [{"context": "Ada wrote it.", "qas": [good, *bad]}, {"qas": [good]}, {"context": "No questions."}]
    content = {"data": [{"title": "Ada", "paragraphs": paragraphs}, {"title": "no paragraphs"}]}
    (tmp_path / "a.squad").write_text(json.dumps(content))
    data, _ = run_step(read, path=tmp_path)
    assert [(r["id"], r["title"], r["context"]) for r in rows_of(data)] == [("1", "Ada", "Ada wrote it.")]
    assert reasons(data) == [(f"a.squad:{n}", "no question") for n in range(2, 9)]


def test_another_file_is_refused(tmp_path, run_step):
    for text in ("[1, 2]", '{"data": 3}', '{"version": "1.1"}', "{"):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InputError, match="no SQuAD file"):
            run_step(read, path=tmp_path / "a.json", reader="squad")
