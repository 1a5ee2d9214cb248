"""Steps on shared runs of words: substrings, paragraphs, contamination, disjoint splits."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loomwork.core.errors import InputError
from loomwork.data import _runs
from loomwork.data.decontaminate import decontaminate
from loomwork.data.paragraph_dedup import paragraph_dedup
from loomwork.data.split import split
from loomwork.data.substring_dedup import substring_dedup


def grams(text, size):
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}


@pytest.fixture(scope="module")
def stories(request):
    from tests.conftest import DATA

    if not DATA.is_dir():
        pytest.skip(f"no test data at {DATA}: set LOOMWORK_TEST_DATA")
    text = (DATA / "lm" / "wizard_of_oz.txt").read_text("utf-8")
    words = text.split()
    return [" ".join(words[i : i + 120]) for i in range(0, 12_000, 120)]


def test_a_repeated_passage_is_cut_and_its_first_stays(stories, make_dataset, run_step):
    passage = stories[3]
    rows = [{"text": t, "n": i} for i, t in enumerate(stories)]
    rows.append({"text": f"Before it. {passage.upper()}! After it.", "n": 1000})
    data = make_dataset(rows)
    made, card = run_step(substring_dedup, data=data, words=50)
    texts = {r["n"]: r["text"] for r in made.select("data").rows()}
    assert texts[3] == passage
    assert texts[1000] == "Before it. After it."
    assert card.metrics["rows_changed"] == 1
    (cut,) = made.select("cut").rows()
    (whole,) = [r["row_id"] for r in data.rows() if r["n"] == 1000]
    assert (cut["text"], cut["reason"], cut["origin_ids"]) == (f"{passage.upper()}!", "repeated text", [whole])
    assert all(texts[i] == t for i, t in enumerate(stories))
    _, card = run_step(substring_dedup, data=made.select("data"), words=50)
    assert card.metrics["characters_cut"] == 0


word_lists = st.lists(st.lists(st.sampled_from("abc"), max_size=14).map(" ".join), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=word_lists, parts=st.booleans())
def test_no_run_is_left_twice_unless_cutting_made_it(texts, parts, make_dataset, run_step, monkeypatch):
    monkeypatch.setattr(_runs, "MEMORY_BYTES", 64 if parts else 1 << 20)
    data = make_dataset([{"text": t, "n": i} for i, t in enumerate(texts)])
    made, _ = run_step(substring_dedup, data=data, words=3)
    left = {r["n"]: r["text"] for r in made.select("data").rows()} if "data" in made.parts else {}
    dropped = [r["n"] for r in made.select("dropped").rows()] if "dropped" in made.parts else []
    assert sorted([*left, *dropped]) == list(range(len(texts)))
    # the definition, word by word: a word goes if it lies in a run that stood earlier
    seen: set[tuple[str, ...]] = set()
    for n, text in enumerate(texts):
        words = text.split()
        gone = [False] * len(words)
        for i in range(len(words) - 2):
            run = tuple(words[i : i + 3])
            if run in seen:
                gone[i : i + 3] = [True] * 3
            seen.add(run)
        expected = [w for w, g in zip(words, gone, strict=True) if not g]
        assert left.get(n, "").split() == expected if any(gone) and expected else True
        assert not any(gone) or expected or n in dropped


def test_paragraphs_that_stood_earlier_go(make_dataset, run_step):
    notice = "This page uses cookies to remember what you like, and shares it with partners that you do not know."
    rows = [{"text": f"{notice}\n\nText number {i} is here.\n\nShort.", "n": i} for i in range(4)]
    rows += [{"text": notice.upper().replace(" ", "\n"), "n": 4}, {"text": None, "n": 5}]
    made, card = run_step(paragraph_dedup, data=make_dataset(rows))
    texts = {r["n"]: r["text"] for r in made.select("data").rows()}
    assert texts[0] == rows[0]["text"]
    assert [texts[i] for i in (1, 2, 3)] == [f"Text number {i} is here.\n\nShort." for i in (1, 2, 3)]
    assert texts[5] is None
    assert card.metrics["paragraphs_cut"] == card.metrics["rows_cut"] == 4
    assert [r["text"].lower().split() for r in made.select("cut").rows()] == [notice.lower().split()] * 4
    assert card.metrics["dropped: repeated text"] == 1
    _, card = run_step(paragraph_dedup, data=make_dataset(rows[:4]), unit="line", min_chars=1)
    assert card.metrics["lines_cut"] == 6


def test_contaminated_rows_are_found_and_named(stories, make_dataset, run_step):
    train = make_dataset([{"text": t, "n": i} for i, t in enumerate(stories)])
    words = stories[7].split()
    test = make_dataset(
        [
            {"question": "Is it so: " + " ".join(words[20:40]).upper() + "?", "answer": "yes"},
            {"question": " ".join(stories[9].split()[5:12]), "answer": "Kansas"},
            {"question": "What has never been written anywhere, not even once, in this old book of tales, my friend?"},
        ]
    )
    made, card = run_step(decontaminate, data=train, against=[test], against_columns=["question"])
    reasons = {r["n"]: r["reason"] for r in made.select("dropped").rows()}
    ids = [r["row_id"].hex() for r in test.rows()]
    assert sorted(reasons) == [7, 9]
    assert ids[0] in reasons[7]
    assert "13 words" in reasons[7]
    assert "7 words" in reasons[9]
    assert card.metrics["against_rows_found"] == 2
    oracle = [i for i, t in enumerate(stories) if any(grams(t, 13) & grams(q["question"], 13) for q in test.rows())]
    assert oracle == [7]
    _, card = run_step(decontaminate, data=made.select("data"), against=[test], against_columns=["question", "answer"])
    assert card.metrics["rows_dropped"] == 0
    assert card.metrics["against_texts_too_short"] == 3
    with pytest.raises(InputError, match="lower `shortest`"):
        run_step(decontaminate, data=train, against=[test], against_columns=["answer"])


@pytest.mark.parametrize("group", [None, "page"])
def test_parts_of_a_disjoint_split_share_no_run(group, stories, make_dataset, run_step):
    rows = []
    for i in range(0, 90, 3):  # three rows in a chain: each shares a passage with the next
        a, b, c = (stories[i + k].split() for k in range(3))
        chain = [a, a[-20:] + b, b[-20:] + c]
        rows += [{"text": " ".join(w), "page": len(rows) // 6} for w in chain]
    data = make_dataset(rows)
    made, card = run_step(split, data=data, holdout=0.3, disjoint_words=8, group=group)
    sides = [set().union(*(grams(r["text"], 8) for r in made.select(part).rows())) for part in ("train", "holdout")]
    assert not sides[0] & sides[1]
    assert card.metrics["holdout_share"] == pytest.approx(0.3, abs=0.1)
    assert card.metrics["groups"] <= (30 if group is None else 15)
    if group:
        pages = [{r["page"] for r in made.select(part).rows()} for part in ("train", "holdout")]
        assert not pages[0] & pages[1]
    plain, _ = run_step(split, data=data, holdout=0.3)
    sides = [set().union(*(grams(r["text"], 8) for r in plain.select(part).rows())) for part in ("train", "holdout")]
    assert sides[0] & sides[1]  # what a random split of this data leaks


def test_refused(make_dataset, run_step):
    data = make_dataset([{"text": "a b c"}])
    with pytest.raises(InputError, match="needs data to compare against"):
        run_step(decontaminate, data=data, against=[])
    with pytest.raises(InputError, match="words is 3, shortest is 4"):
        run_step(decontaminate, data=data, against=[data], words=3, shortest=4)
