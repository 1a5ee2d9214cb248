"""Words of the user's list."""

from __future__ import annotations

import csv

import pytest

from loomwork.core.errors import InputError
from loomwork.data.filter import filter


def kept(rows, make_dataset, run_step, **settings):
    found, _ = run_step(filter, data=make_dataset([{"text": t} for t in rows]), rules=[{"profanity": settings}])
    return [r["text"] for r in found.rows()], found


def test_whole_words_and_phrases_in_any_case(make_dataset, run_step, tmp_path):
    (tmp_path / "list.txt").write_text("# mine\ndarn\nBloody hell\n")
    rows = ["Oh DARN!", "a darning needle", "bloody-hell, he said", "bloody good, hell no", "", "Scunthorpe"]
    left, found = kept(rows, make_dataset, run_step, file=str(tmp_path / "list.txt"))
    assert left == ["a darning needle", "bloody good, hell no", "", "Scunthorpe"]
    reasons = [r["reason"] for r in found.select("dropped").rows()]
    assert reasons == ["profanity (listed words): 1 of 2", "profanity (listed words): 2 of 4"]


def test_a_share_of_the_words(make_dataset, run_step):
    rows = ["darn it", "one two three four five six seven eight nine darn", "darn darn darn one two three"]
    assert kept(rows, make_dataset, run_step, words=["darn"], max_share=0.1)[0] == rows[1:2]
    assert kept(rows, make_dataset, run_step, words=["darn"], max_share=0.1, min_count=2)[0] == rows[:2]


def test_a_text_of_no_words_is_kept(make_dataset, run_step):
    assert kept(["", None, "?!"], make_dataset, run_step, words=["darn"])[0] == ["", None, "?!"]


def test_real_offensive_messages_against_plain_python(test_data, make_dataset, run_step):
    """The same verdicts as words found one by one."""
    import re

    with (test_data / "classification/hate_offensive_tweets.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["tweet"] for row in csv.DictReader(file)][:3000]
    listed = {"trash", "hate", "damn"}
    expected = []
    for text in texts:
        words = re.findall(r"[^\W_]+", text.lower())
        share = sum(word in listed for word in words) / max(1, len(words))
        expected.append(share > 0.05)
    left, _ = kept(texts, make_dataset, run_step, words=sorted(listed), max_share=0.05)
    assert left == [t for t, drop in zip(texts, expected, strict=True) if not drop]
    assert len(left) < len(texts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({}, "has no list"), ({"words": ["!!"]}, "no letter"), ({"words": ["a"], "max_share": 2.0}, "max_share")],
)
def test_settings_that_cannot_be_followed_are_refused(make_dataset, run_step, settings, message):
    with pytest.raises(InputError, match=message):
        kept(["a"], make_dataset, run_step, **settings)
