"""Scores in slices: values by hand, the worst named, chance not taken for a difference."""

from __future__ import annotations

import numpy as np
import pytest

from loomwork.core.errors import InputError
from loomwork.evals.classification import classification
from loomwork.evals.glue import glue
from loomwork.evals.slices import slices
from loomwork.evals.squad import squad
from loomwork.evals.translation import translation

WORDS = ["Das ist ein kurzer deutscher Satz über das Wetter.", "This is a short English sentence about the weather."]


def rows(count: int = 400, seed: int = 3, weak: float = 0.5) -> list[dict]:
    generator = np.random.default_rng(seed)
    made = []
    for i in range(count):
        kind = "abc"[i % 3]
        right = generator.random() < (weak if kind == "c" else 0.9)
        label = "xy"[int(generator.integers(2))]
        said = label if right else "xy"[1 - "xy".index(label)]
        text = WORDS[i % 2] + " word" * (i % 7)
        made.append({"text": text, "kind": kind, "label": label, "prediction": said, "size": i})
    return made


@pytest.fixture
def scored(make_dataset, run_step):
    def make(**options):
        data = make_dataset(rows(**options))
        return data, run_step(classification, data=data)[0]

    return make


def test_values_intervals_and_the_worst_slice(scored, run_step):
    data, scores = scored()
    found, card = run_step(slices, scores=scores, data=data, by=["kind", "label", "size"])
    by = {s.name: s for s in found.scores}
    own = [r for r in rows() if r["kind"] == "c"]
    expected = np.mean([r["label"] == r["prediction"] for r in own])
    assert by["accuracy [kind=c]"].value == pytest.approx(expected)
    assert by["accuracy [kind=c]"].n == len(own)
    assert by["accuracy [kind=c]"].interval.low < expected < by["accuracy [kind=c]"].interval.high
    assert "worst slice of accuracy: kind=c" in card.notes[0]
    assert "more than chance" in card.notes[0]
    assert sum(name.startswith("accuracy [size=") for name in by) == 4
    told = found.read_json("extra.json")["slices"]
    assert all(s["adjusted"] >= s["p_value"] for s in told)
    column = found.items().column("accuracy [kind=c]")
    assert column.null_count == 400 - len(own)


def test_chance_is_called_chance(scored, run_step):
    data, scores = scored(weak=0.9)
    _, card = run_step(slices, scores=scores, data=data, by=["kind", "label"])
    assert "chance may do that" in card.notes[0]


def test_language_and_length_are_made_from_the_text(scored, run_step):
    data, scores = scored()
    found, _ = run_step(slices, scores=scores, data=data, by=["language", "length"])
    names = [s.name for s in found.scores]
    assert {"accuracy [language=de]", "accuracy [language=en]"} <= set(names)
    assert sum("length=" in n for n in names) == 4


def test_metrics_of_sums_have_slices_too(scored, run_step):
    data, scores = scored()
    found, _ = run_step(slices, scores=scores, data=data, by=["kind"], metric="macro_f1")
    by = {s.name: s for s in found.scores}
    own = [r for r in rows() if r["kind"] == "a"]
    from sklearn.metrics import f1_score

    expected = f1_score([r["label"] for r in own], [r["prediction"] for r in own], average="macro")
    assert by["macro_f1 [kind=a]"].value == pytest.approx(expected)


def test_what_cannot_be_sliced(scored, make_dataset, run_step):
    data, scores = scored(count=60)
    one = make_dataset([r for r in rows(count=60) if r["kind"] == "a"])
    with pytest.raises(InputError, match="no column 'knd'"):
        run_step(slices, scores=scores, data=data, by=["knd"])
    with pytest.raises(InputError, match="to slice by"):
        run_step(slices, scores=scores, by=["kind"])
    with pytest.raises(InputError, match="no slice has 50 items"):
        run_step(slices, scores=scores, data=data, by=["kind"], least=50)
    with pytest.raises(InputError, match="are no rows of `data`"):
        run_step(slices, scores=scores, data=make_dataset([{"kind": "a"}]), by=["kind"])
    with pytest.raises(InputError, match=r"^kind: all 20 items are a, so there is nothing to compare them with"):
        run_step(slices, scores=run_step(classification, data=one)[0], data=one, by=["kind"])
    _, card = run_step(slices, scores=scores, data=data, by=["kind", "text"], least=15)
    assert card.metrics["slices_too_small"] == 14


def test_columns_of_one_value_and_items_without_one_are_told_of(make_dataset, run_step):
    some = rows(count=90)
    for i, row in enumerate(some):
        row |= {"kind": row["kind"] if i >= 7 else None, "all": "yes", "none": None, "rare": "once" if i == 3 else None}
    data = make_dataset(some)
    scores, _ = run_step(classification, data=data)
    _, card = run_step(slices, scores=scores, data=data, by=["kind", "all", "none", "rare"])
    assert {n for n in card.notes if n.startswith(("kind", "all", "none", "rare"))} == {
        "kind: 7 of 90 items have no value, and are in no slice",
        "all: all 90 items are yes, so there is nothing to compare them with",
        "none: none of 90 items has a value",
        "rare: 89 of 90 items have no value, and are in no slice",
    }


def test_scores_of_official_files_are_sliced_without_the_data(test_data, tmp_path, run_step):
    """By what the files say of each item, and the length of its text."""

    def values(scores, by):
        found, _ = run_step(slices, scores=scores, by=by, least=5)
        return {s.name.partition(" [")[2][:-1]: s for s in found.scores}

    path = test_data / "glue" / "SST-2" / "dev.tsv"
    lines = path.read_text("utf-8").splitlines()[1:]
    (tmp_path / "said.tsv").write_text("\n".join("1" for _ in lines))
    scores, _ = run_step(glue, task="sst-2", data=path, predictions=tmp_path / "said.tsv")
    assert scores.items().column("text").to_pylist() == [line.split("\t")[0] for line in lines]
    assert len(values(scores, ["length"])) == 4

    path = test_data / "glue" / "RTE" / "rte3_dev.xml"
    (tmp_path / "rte.tsv").write_text("\n".join("YES" for _ in range(800)))
    scores, _ = run_step(glue, task="rte", data=path, predictions=tmp_path / "rte.tsv")
    assert scores.items().column("text")[0].as_py().endswith("\nBaikalfinansgroup was sold to Rosneft.")
    assert set(values(scores, ["task"])) == {"task=IE", "task=IR", "task=QA", "task=SUM"}

    path = test_data / "glue" / "STS-B" / "stsb-en-dev.csv"
    (tmp_path / "sts.tsv").write_text("\n".join(str(i % 5) for i in range(1500)))
    scores, _ = run_step(glue, task="sts-b", data=path, predictions=tmp_path / "sts.tsv")
    assert scores.items().column("text")[0].as_py() == (
        "A man with a hard hat is dancing.\nA man wearing a hard hat is dancing."
    )

    folder = test_data / "squad"
    files = {"data": folder / "dev-v1.1.json", "predictions": folder / "predictions-v1.1-match-lstm.json"}
    scores, _ = run_step(squad, **files, cluster="paragraph")
    by_article = values(scores, ["article"])
    assert len(by_article) == 48
    assert by_article["article=Super_Bowl_50"].n == 810
    scores, _ = run_step(squad, **files)  # of one article alone: there is nothing to draw
    with pytest.raises(InputError, match=r"no slice has 5 items in two clusters \(article\)"):
        values(scores, ["article"])


def test_translations_are_sliced_by_the_source_or_else_by_the_reference(test_data, tmp_path, run_step):
    pytest.importorskip("sacrebleu")
    folder = test_data / "wmt" / "wmt17.en-de"
    files = {"predictions": folder / "hyp.xmu.4910.tok.txt", "references": folder / "reference.tok.txt"}
    (tmp_path / "hyp").write_text("\n".join(files["predictions"].read_text("utf-8").splitlines()[:200]), "utf-8")
    (tmp_path / "ref").write_text("\n".join(files["references"].read_text("utf-8").splitlines()[:200]), "utf-8")
    scores, _ = run_step(translation, predictions=tmp_path / "hyp", references=tmp_path / "ref", metrics=["chrf"])
    found, _ = run_step(slices, scores=scores, by=["length", "language"])
    names = [s.name for s in found.scores]
    assert sum(name.startswith("chrf [length=") for name in names) == 4
    lengths = [len(line) for line in (tmp_path / "ref").read_text("utf-8").splitlines()]
    assert any(name.endswith(f" to {max(lengths)}]") for name in names)

    def part(kind, about, texts):
        return f"<{kind} {about}>" + "".join(f'<seg id="{i}">{t}</seg>' for i, t in enumerate(texts)) + f"</{kind}>"

    sources = ["a" * (10 + i) for i in range(40)]
    document = part("src", "", sources) + part("ref", 'translator="A"', ["eins"] * 40)
    document += part("hyp", 'system="s"', ["eins"] * 39 + ["zwei"])
    (tmp_path / "all.xml").write_text(f'<dataset><doc id="one">{document}</doc></dataset>')
    scores, _ = run_step(translation, predictions=tmp_path / "all.xml", references=tmp_path / "all.xml")
    assert scores.items().column("source").to_pylist() == sources
    found, _ = run_step(slices, scores=scores, by=["length"], metric="chrf", least=5)
    assert any("length=10 to" in s.name for s in found.scores)
