from __future__ import annotations

import pytest
import seqeval.metrics
import seqeval.scheme
from scipy.stats import binomtest

from loomwork.core.errors import InputError
from loomwork.evals.ner import ner

# F1, precision and recall as the shared task's table has them.
KNOWN = {
    "arcada": (39.98, 47.40, 34.57),
    "drexel_cci": (26.30, 50.39, 17.79),
    "flytxt": (38.35, 47.92, 31.97),
    "mic-cis.txt": (37.06, 40.97, 33.83),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_numbers_of_wnut_17(name, test_data, run_step):
    folder = test_data / "ner" / "wnut17"
    found, card = run_step(ner, data=folder / "emerging.test.annotated", predictions=folder / "submissions" / name)
    values = {s.name: round(s.value, 2) for s in found.scores}
    assert (values["f1"], values["precision"], values["recall"]) == KNOWN[name]
    assert card.metrics == {"sentences": 1287, "tokens": 23394, "entities": 1079}
    score = found.score("f1")
    assert (score.n, score.cluster_unit) == (1287, "sentence")
    assert score.interval.low < score.value < score.interval.high
    assert {s.name for s in found.scores} >= {"accuracy", "f1: person", "f1: creative-work"}
    items = found.items()
    assert sum(items.column("wanted").to_pylist()) == 1079
    assert found.read_json("extra.json")["types"]["person"]["wanted"] == 429
    assert any("tokens differ" in note for note in card.notes) == (name == "mic-cis.txt")


def test_one_file_with_both_tags_as_conlleval_reads_it(test_data, tmp_path, run_step):
    folder = test_data / "ner" / "wnut17"
    gold = (folder / "emerging.test.annotated").read_text().split("\n")
    said = (folder / "submissions" / "arcada").read_text().replace("\r", "").split("\n")
    both = [f"{g.replace(chr(9), ' ')} {s.split()[-1]}" if g.strip() else "" for g, s in zip(gold, said, strict=False)]
    path = tmp_path / "both.txt"
    path.write_text("\n".join(both))
    found, _ = run_step(ner, data=path)
    assert round(found.score("f1").value, 2) == 39.98


def test_a_type_of_no_hit_is_bounded_by_what_f1_can_be(tmp_path, run_step):
    """Of 20 wanted and 4 found wrongly no share above that of 0 of 24 is likely, and F1 is nearly twice the share."""
    data = tmp_path / "both.conll"
    data.write_text("".join(f"x B-a B-a\n\ny B-b O\nz O {'B-b' if i < 4 else 'O'}\n\n" for i in range(20)))
    found, _ = run_step(ner, data=data)
    score, share = found.score("f1: b"), float(binomtest(0, 24).proportion_ci(0.95).high)
    assert (score.value, score.interval.low) == (0, 0)
    assert score.interval.high == pytest.approx(100 * 2 * share / (1 + share))
    rows = [f"-DOCSTART- O O\n\nx B-a B-a\n\ny B-b O\nz O {'B-b' if i < 4 else 'O'}\n\n" for i in range(5)]
    data.write_text("".join(rows) + "-DOCSTART- O O\n\nx B-a B-a\n\n" * 6)
    found, _ = run_step(ner, data=data, cluster="document")
    share = float(binomtest(0, 5).proportion_ci(0.95).high)  # the documents in which there is any to find
    assert found.score("f1: b").interval.high == pytest.approx(100 * 2 * share / (1 + share))


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2"])
def test_a_strict_scheme_is_seqevals(scheme, test_data, run_step):
    """On tags of IOB2: under IOB1 the most B are stray."""
    folder = test_data / "ner" / "wnut17"
    data, predictions = folder / "emerging.test.annotated", folder / "submissions" / "flytxt"
    found, _ = run_step(ner, data=data, predictions=predictions, scheme=scheme)
    gold, said = (
        [[line.split()[-1] for line in sentence.split("\n")] for sentence in path.read_text().strip().split("\n\n")]
        for path in (data, predictions)
    )
    theirs = {"mode": "strict", "scheme": getattr(seqeval.scheme, scheme)}
    for name, measure in (("f1", "f1_score"), ("precision", "precision_score"), ("recall", "recall_score")):
        expected = getattr(seqeval.metrics, measure)(gold, said, **theirs)
        assert found.score(name).value == pytest.approx(100 * expected)


def test_documents_are_clusters_and_no_sentences(tmp_path, run_step):
    text = "-DOCSTART- -X- O\n\nEU B-ORG\nrejects O\n\nPeter B-PER\n\n-DOCSTART- -X- O\n\nBonn B-LOC\nsaid O\n"
    gold, said = tmp_path / "gold", tmp_path / "said"
    gold.write_text(text)
    said.write_text(text.replace("Peter B-PER", "Peter O"))
    found, card = run_step(ner, data=gold, predictions=said, cluster="document")
    assert card.metrics == {"sentences": 3, "tokens": 5, "entities": 3}
    assert found.items().column("cluster").to_pylist() == ["1", "1", "2"]
    assert found.items().column("tokens_right").to_pylist() == [2, 0, 2]
    assert (found.score("recall").n, found.score("recall").n_clusters) == (3, 2)
    assert found.score("recall").value == pytest.approx(100 * 2 / 3)
    assert found.score("precision").value == 100
    assert found.score("precision").interval.low < 100  # two right of two prove little


def test_strict_schemes_leave_out_what_is_not_well_formed(tmp_path, run_step):
    gold, said = tmp_path / "gold", tmp_path / "said"
    gold.write_text("a B-X\nb I-X\n\nc B-X\n")
    said.write_text("a I-X\nb I-X\n\nc B-X\n")
    values = {
        scheme: run_step(ner, data=gold, predictions=said, scheme=scheme)[0].score("recall").value
        for scheme in ("conlleval", "IOB2")
    }
    assert values == {"conlleval": 100, "IOB2": 50}


def test_rows_of_a_dataset(make_dataset, run_step):
    rows = [
        {"tokens": ["a", "b"], "tags": ["B-X", "O"], "prediction": ["B-X", "B-X"], "page": 1},
        {"tokens": ["c"], "tags": ["B-X"], "prediction": ["B-X"], "page": 2},
        {"tokens": ["d"], "tags": ["O"], "prediction": ["O"], "page": 2},
    ]
    data = make_dataset(rows)
    found, _ = run_step(ner, rows=data, cluster="page")
    assert found.score("precision").value == pytest.approx(100 * 2 / 3)
    assert (found.score("f1").cluster_unit, found.score("f1").n_clusters, found.score("f1").data) == (
        "page",
        2,
        data.digest,
    )
    assert found.items().column("row_id").to_pylist() == [r["row_id"] for r in data.rows()]


@pytest.mark.parametrize(
    ("gold", "said", "settings", "message"),
    [
        ("a O\n\nb B-X\n", "a O\n\n", {}, "has 1 sentence"),
        ("a O\n\nb B-X\n", "a O\n\nb O\nc O\n", {}, r"sentence 2 has 1 tokens in .*gold \(line 3\) and 2"),
        ("a O\n\nb B-X\n", "a O\n\nb O\n\nc O\n", {}, "has 2 sentences and .* has 3"),
        ("a O\n\nb B-X\n", "a O\n\nb\n", {}, "line 3: 1 columns where 2 are needed: 'b'"),
        ("a O\n\nb B-X\n", "a O\n\nb X-B\n", {}, "line 3: 'X-B' is no tag"),
        ("a O\n\nb O\n", "a O\n\nb O\n", {}, "the data has no entities"),
        ("a O\n\nb B-X\n", "a O\n\nb O\n", {"cluster": "page"}, "cluster is 'page'"),
        ("a O\n\nb B-X\n", "a O\n\nb O\n", {"cluster": "document"}, "all sentences are of one document"),
        ("", "a O\n", {}, "is empty"),
        ("caf\xe9 O\n", "a O\n", {}, "line 1: byte 0xe9 is not UTF-8"),
    ],
)
def test_bad_files_are_refused(gold, said, settings, message, tmp_path, run_step):
    (tmp_path / "gold").write_bytes(gold.encode("latin1"))
    (tmp_path / "said").write_text(said)
    with pytest.raises(InputError, match=message):
        run_step(ner, data=tmp_path / "gold", predictions=tmp_path / "said", **settings)


def test_rows_with_unequal_lists_are_refused(make_dataset, run_step):
    rows = [{"tags": ["O"], "prediction": ["O"]}, {"tags": ["O", "B-X"], "prediction": ["O"]}]
    with pytest.raises(InputError, match="row 1: 'tags' and 'prediction' must be lists of as many tags, not 2 and 1"):
        run_step(ner, rows=make_dataset(rows))
    with pytest.raises(InputError, match="give either"):
        run_step(ner)
