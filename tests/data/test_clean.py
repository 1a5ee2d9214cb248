"""data.clean: what each setting does to rows, and that a second cleaning finds nothing to do."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.forget import forget, plan_forget
from loomwork.core.home import Home
from loomwork.core.runner import run_recipe
from loomwork.data.clean import clean

ALL = {
    "unicode_form": "NFKC",
    "spaces": "single",
    "repair_encoding": True,
    "markup": ["html", "markdown"],
    "repeated_lines": 1,
    "boilerplate_documents": 3,
}


def texts(data):
    return [row["text"] for row in data.rows()]


def test_boilerplate_of_one_source_goes_and_the_same_line_elsewhere_stays(make_dataset, run_step):
    body = ["alpha", "beta", "gamma", "delta", "epsilon"]
    rows = [{"text": f"Menu | About\n{b}\nPage {i} of 9\n---", "source": f"shop/{b}.html"} for i, b in enumerate(body)]
    rows += [{"text": "Menu | About\nanother", "source": "notes.jsonl:1"}]
    found, card = run_step(clean, data=make_dataset(rows), boilerplate_documents=3)
    assert texts(found) == [f"{b}\n---" for b in body] + ["Menu | About\nanother"]
    assert card.metrics["lines_boilerplate"] == card.metrics["rows_cut"] == 10
    cut = list(found.select("cut").rows())
    assert [(r["text"], r["reason"]) for r in cut[:2]] == [
        ("Menu | About", "boilerplate line"),
        ("Page 0 of 9", "boilerplate line"),
    ]
    assert cut[0]["origin_ids"] == cut[1]["origin_ids"] == next(found.rows())["origin_ids"]
    assert card.metrics["rows_changed"] == 5
    assert any("boilerplate in 5 documents: 'Menu | About'" in note for note in card.notes)
    assert texts(run_step(clean, data=make_dataset(rows), boilerplate_documents=6)[0]) == [r["text"] for r in rows]


def test_sources_are_hosts_files_folders_or_a_column(make_dataset, run_step):
    line = "Accept all cookies"
    rows = [
        {"text": f"{line}\n{n}", "url": url, "source": source, "site": site}
        for n, url, source, site in [
            ("one", "https://A.org/x", "pages.jsonl:1", "s"),
            ("two", "https://a.org/y?z", "pages.jsonl:2", "s"),
            ("three", "http://b.org", "pages.jsonl:3", "s"),
            ("four", None, "pages.jsonl:4", "t"),
            ("five", None, "pages.jsonl:5", "s"),
        ]
    ]

    def changed(**wanted):
        found, _ = run_step(clean, data=make_dataset(rows), **wanted)
        return [n for n in ("one", "two", "three", "four", "five") if n in texts(found)]

    assert changed(boilerplate_documents=2) == ["one", "two", "four", "five"]  # a.org, and the file
    assert changed(boilerplate_documents=2, boilerplate_by="site") == ["one", "two", "three", "five"]
    assert changed(boilerplate_documents=5) == []
    assert changed(boilerplate_documents=2, boilerplate_by="site", boilerplate_share=1.0) == [
        "one",
        "two",
        "three",
        "five",
    ]


def test_a_share_of_documents(make_dataset, run_step):
    rows = [{"text": f"Imprint\n{c}" if c in "abcd" else c} for c in "abcdefghij"]
    assert (
        run_step(clean, data=make_dataset(rows), boilerplate_documents=2, boilerplate_share=0.5)[1].metrics[
            "rows_changed"
        ]
        == 0
    )
    assert (
        run_step(clean, data=make_dataset(rows), boilerplate_documents=2, boilerplate_share=0.4)[1].metrics[
            "rows_changed"
        ]
        == 4
    )


def test_boilerplate_is_found_across_shards(tmp_path, run_step):
    (tmp_path / "in").mkdir()
    with DatasetWriter(tmp_path / "in", shard_rows=2) as writer:
        for i in range(5):
            writer.write([{"text": f"Subscribe now\nunique {chr(97 + i)}"}])
    data = Dataset(tmp_path / "in")
    found, card = run_step(clean, data=data, boilerplate_documents=5)
    assert texts(found) == [f"unique {c}" for c in "abcde"]
    assert card.metrics["lines_boilerplate"] == 5
    assert not [
        p for p in found.path.iterdir() if p.name not in ("data", "cut", "dropped", "manifest.json")
    ]  # no spill is left


def test_what_was_cut_out_of_a_forgotten_row_is_forgotten(tmp_path):
    lines = [{"text": f"Call me: 555\n{word}\nCall me: 555"} for word in ("one", "two")]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    home = Home(tmp_path / ".loom")
    steps = {
        "raw": {"use": "data.read", "path": str(tmp_path / "a.jsonl")},
        "clean": {"use": "data.clean", "data": "$raw", "repeated_lines": 1},
    }
    run = run_recipe({"recipe": "r", "steps": steps}, home=home)
    cut = list(home.store.open(run.steps["clean"].artifact, Dataset, "cut").rows())
    assert [r["text"] for r in cut] == ["Call me: 555"] * 2
    done = forget(home, plan_forget(home, [cut[1]["origin_ids"][0].hex()]))
    new = home.store.open(done.versions[run.steps["clean"].artifact], Dataset)
    assert [r["origin_ids"] for r in new.select("cut").rows()] == [cut[0]["origin_ids"]]
    assert texts(new) == ["Call me: 555\none"]


def test_repeated_lines(make_dataset, run_step):
    row = {"text": "Read more\nstory\nRead more\nRead more\n    x = 1\n    x = 1"}
    found, card = run_step(clean, data=make_dataset([row]), repeated_lines=2)
    assert texts(found) == ["Read more\nstory\nRead more\n    x = 1\n    x = 1"]
    assert card.metrics["lines_repeated"] == 1
    assert [(r["text"], r["reason"]) for r in found.select("cut").rows()] == [("Read more", "repeated line")]


def test_copies_of_a_whole_text_are_no_boilerplate(make_dataset, run_step):
    rows = [{"text": "Log in\nto continue"}] * 3 + [{"text": "words"}]
    found, card = run_step(clean, data=make_dataset(rows), boilerplate_documents=3)
    assert texts(found) == [r["text"] for r in rows]  # to drop copies, and keep one, is data.exact_dedup's work
    assert card.metrics["lines_boilerplate"] == 0


def test_messages_of_one_line_that_many_people_sent_are_no_boilerplate(make_dataset, run_step):
    rows = [{"text": "I cant pick the phone right now. Pls send a message"}] * 6
    found, _ = run_step(clean, data=make_dataset(rows), boilerplate_documents=3)
    assert len(texts(found)) == 6


def test_what_one_repair_uncovers_another_repairs(make_dataset, run_step):
    found, _ = run_step(clean, data=make_dataset([{"text": "caf&Atilde;&copy; <b>sch&Atilde;&para;n</b>"}]), **ALL)
    assert texts(found) == ["café schön"]


def test_spelling_leaves_terms_that_are_common(make_dataset, run_step):
    rows = [{"text": f"the tokenizr number {n} is here"} for n in ("one", "two", "three")] + [
        {"text": "they recieve it"}
    ]
    found, card = run_step(clean, data=make_dataset(rows), spelling=True, spelling_common=3)
    assert texts(found)[0] == "the tokenizr number one is here"
    assert texts(found)[3] == "they receive it"
    assert card.metrics["words_corrected"] == 1
    kept, card = run_step(
        clean, data=make_dataset(rows), spelling=True, spelling_protected=["recieve"], spelling_common=3
    )
    assert card.metrics["words_corrected"] == 0
    assert texts(kept)[3] == "they recieve it"


def test_real_pages_settle(test_data, make_dataset, run_step):
    lines = (test_data / "lm/c4_demo.jsonl").read_text(encoding="utf-8").splitlines()[:150]
    data = make_dataset([json.loads(line) for line in lines])
    once, first = run_step(clean, data=data, spelling=True, **ALL)
    twice, second = run_step(clean, data=once, spelling=True, **ALL)
    assert first.metrics["rows"] + first.metrics["rows_dropped"] == len(lines)
    assert second.metrics["rows_changed"] == second.metrics["rows_dropped"] == 0
    assert texts(twice) == texts(once)
    assert once.shards()[0].read_bytes() == twice.shards()[0].read_bytes()


PIECES = [
    "Menu",
    "<b>",
    "</p>",
    "&amp;",
    "lt;",
    "Ã©",
    "\u2028",
    "\n",
    "\n",
    "  ",
    "\t",
    "**",
    "# ",
    "`",
    "x 1",
    "\ufb01",
    "\u0301",
]
soup = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=10).map("".join)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(soup, min_size=1, max_size=6))
def test_cleaning_twice_changes_nothing_more(rows, make_dataset, run_step):
    rows = [{"text": t.encode(errors="ignore").decode()} for t in rows]
    once, card = run_step(clean, data=make_dataset(rows), **ALL)
    assert card.metrics.get("rows", 0) + card.metrics["rows_dropped"] == len(rows)
    if card.metrics.get("rows"):
        _, again = run_step(clean, data=once, **ALL)
        assert again.metrics["rows_changed"] == again.metrics["rows_dropped"] == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"boilerplate_share": 0.5}, "boilerplate_documents is 0"),
        ({"boilerplate_documents": 2, "boilerplate_by": "sight"}, "no column 'sight'"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(make_dataset, run_step, wrong, message):
    with pytest.raises(InputError, match=message):
        run_step(clean, data=make_dataset([{"text": "a"}]), **wrong)


@pytest.mark.filterwarnings("ignore:Failed to parse")
def test_a_dictionary_that_is_none_is_refused(make_dataset, run_step, tmp_path):
    (tmp_path / "none.txt").write_text("words without counts\n")
    with pytest.raises(InputError, match="spelling_dictionary"):
        run_step(clean, data=make_dataset([{"text": "a"}]), spelling=True, spelling_dictionary=tmp_path / "none.txt")


def test_texts_of_one_line_that_differ_in_a_number_are_no_boilerplate(make_dataset, run_step):
    rows = [{"text": f"Order {n} was shipped.", "source": f"orders.jsonl:{n}"} for n in range(20)]
    made, card = run_step(clean, data=make_dataset(rows), boilerplate_documents=5)
    assert [r["text"] for r in made.rows()] == [r["text"] for r in rows]
    assert card.metrics["lines_boilerplate"] == 0


def test_texts_that_spelling_passes_over_are_counted(make_dataset, run_step):
    german = "das ist ein satz auf deutsch ueber wolken und schiffe"
    data = make_dataset([{"text": "they recieve the goverment"}, {"text": german}])
    _, card = run_step(clean, data=data, spelling=True, spelling_common=0)
    assert (card.metrics["words_corrected"], card.metrics["texts_not_spelled"]) == (2, 1)
    assert any("goverment -> government, recieve -> receive" in note for note in card.notes)
    assert any("spelling of 1 texts was not corrected" in note for note in card.notes)
