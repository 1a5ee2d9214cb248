"""Texts that surprise a model of the others."""

from __future__ import annotations

import json
import random

import pytest

from loomwork.core.errors import InputError
from loomwork.data.filter import filter


@pytest.fixture(scope="module")
def pages(test_data):
    lines = (test_data / "lm/c4_demo.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def perplexities(texts, make_dataset, run_step, **settings):
    """Of each text, from the reason why it is dropped."""
    rule = {"perplexity": {"max_perplexity": 1e-9, **settings}}
    dropped = run_step(filter, data=make_dataset([{"text": t} for t in texts]), rules=[rule])[0].select("dropped")
    return [float(row["reason"].rpartition(": ")[2]) for row in dropped.rows()]


def test_gibberish_surprises_most(pages, make_dataset, run_step):
    draw = random.Random(3)
    scrambled = [" ".join("".join(draw.sample(w, len(w))) for w in t.split()) for t in pages[::10]]
    rows = [{"text": t, "gibberish": False} for t in pages] + [{"text": t, "gibberish": True} for t in scrambled]
    kept, card = run_step(filter, data=make_dataset(rows), rules=[{"perplexity": {"max_quantile": 0.9}}])
    dropped = list(kept.select("dropped").rows())
    assert card.metrics["rows"] + len(dropped) == len(rows)
    assert len(dropped) == pytest.approx(33, abs=1)
    assert sum(r["gibberish"] for r in dropped) >= 28  # of 30; 3 by chance
    assert all(r["reason"].startswith("perplexity (too surprising): ") for r in dropped)
    assert card.metrics["perplexity: words trained on"] > 50_000
    assert card.metrics["perplexity: median perplexity"] < card.metrics["perplexity: highest kept"]


def test_words_out_of_order_surprise_more_than_in_order(pages, test_data, make_dataset, run_step):
    """The same words: only a model of their order can tell."""
    shuffled = [" ".join(random.Random(i).sample(t.split(), len(t.split()))) for i, t in enumerate(pages)]
    reference = str(test_data / "lm/wikitext-2.valid.txt")
    ordered = perplexities(pages, make_dataset, run_step, reference=reference)
    mixed = perplexities(shuffled, make_dataset, run_step, reference=reference)
    assert sum(a < b for a, b in zip(ordered, mixed, strict=True)) >= 0.97 * len(pages)


def test_no_text_is_judged_by_a_model_that_saw_it(pages, make_dataset, run_step):
    """Each page twice: had a copy been learned from, every perplexity would be tiny."""
    once = run_step(
        filter, data=make_dataset([{"text": t} for t in pages]), rules=[{"perplexity": {"max_quantile": 0.9}}]
    )[1]
    rows = [{"text": t, "n": n} for t in pages for n in (0, 1)]
    twice = run_step(filter, data=make_dataset(rows), rules=[{"perplexity": {"max_quantile": 0.9}}])[1]
    assert twice.metrics["perplexity: median perplexity"] > 0.7 * once.metrics["perplexity: median perplexity"]


def test_a_reference_says_what_is_usual(pages, test_data, make_dataset, run_step, tmp_path):
    (tmp_path / "good.jsonl").write_text("\n".join(json.dumps({"body": t}) for t in pages[:200]))
    plays = (test_data / "lm/tinyshakespeare.txt").read_text(encoding="utf-8")
    rows = [{"text": t, "of": "page"} for t in pages[200:]]
    rows += [{"text": plays[i * 2000 : i * 2000 + 2000], "of": "play"} for i in range(100)]
    rule = {"perplexity": {"reference": str(tmp_path / "good.jsonl"), "reference_column": "body"}}
    rule["perplexity"] |= {"unit": "character", "order": 5, "max_quantile": 0.5}
    kept, _ = run_step(filter, data=make_dataset(rows), rules=[rule])
    of = [r["of"] for r in kept.rows()]
    assert of.count("page") >= 0.9 * len(of)
    paragraphs = {
        "perplexity": {
            "reference": str(test_data / "lm/tinyshakespeare.txt"),
            "unit": "character",
            "order": 5,
            "max_quantile": 0.5,
        }
    }
    kept, _ = run_step(filter, data=make_dataset(rows), rules=[paragraphs])
    assert [r["of"] for r in kept.rows()].count("play") >= 95


def test_bounds_and_texts_without_words(pages, make_dataset, run_step):
    found = sorted(perplexities(pages[:60], make_dataset, run_step))
    rows = [{"text": t} for t in [*pages[:60], " ", "", None]]
    low, high = found[10], found[-10]
    rule = {"perplexity": {"min_perplexity": low, "max_perplexity": high, "max_quantile": 0.99}}
    kept, card = run_step(filter, data=make_dataset(rows), rules=[rule])
    assert sum(not (r["text"] or "").strip() for r in kept.rows()) == 3
    assert card.metrics["dropped: perplexity (too predictable)"] == pytest.approx(10, abs=1)  # the reasons are rounded
    assert card.metrics["dropped: perplexity (too surprising)"] == pytest.approx(9, abs=1)
    assert card.metrics["perplexity: lowest kept"] == low
    assert card.metrics["perplexity: highest kept"] == high  # the stricter of the two


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "has no bound"),
        ({"max_quantile": 1.5}, "max_quantile is 1.5; should be less than 1"),
        ({"max_perplexity": 9, "order": 0}, "order is 0; should be greater than or equal to 1"),
        ({"max_perplexity": 9}, "too few texts"),
        ({"max_perplexity": 9, "reference": "nowhere.txt"}, "nowhere.txt"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(make_dataset, run_step, settings, message):
    with pytest.raises(InputError, match=message):
        run_step(filter, data=make_dataset([{"text": "one text"}]), rules=[{"perplexity": settings}])


def test_a_reference_must_have_its_column_and_be_readable(make_dataset, run_step, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"txt": "a"}\n')
    (tmp_path / "b.jsonl").write_text('{"text": "a"\n')
    for name, message in (("a.jsonl", "no column 'text'"), ("b.jsonl", "b.jsonl:1")):
        rule = {"perplexity": {"max_perplexity": 9, "reference": str(tmp_path / name)}}
        with pytest.raises(InputError, match=message):
            run_step(filter, data=make_dataset([{"text": "one"}]), rules=[rule])
