from __future__ import annotations

import csv

import pytest

from loomwork.core.errors import InputError
from loomwork.evals.compare import compare
from loomwork.evals.translation import translation

pytest.importorskip("sacrebleu")

# sacreBLEU 2.6.0 on the tokenised WMT17 outputs.
WMT17_BLEU = {
    "C-3MA.4959": 17.7248,
    "LIUM-NMT.4900": 21.6098,
    "LMU-nmt-reranked.4934": 21.9588,
    "LMU-nmt-single.4893": 21.4917,
    "PROMT-Rule-based.4735": 13.1355,
    "RWTH-nmt-ensemble.4921": 21.1146,
    "online-A.0": 16.0153,
    "online-F.0": 11.7094,
    "online-G.0": 13.2694,
    "uedin-nmt.4722": 23.3868,
    "xmu.4910": 21.6946,
}
PAIRS = {"uk-en": ("en", "13a"), "ja-en": ("en", "13a"), "en-zh": ("zh", "zh")}


def published(test_data, pair):
    """Every published BLEU and chrF: system -> references -> metric -> score."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    with (test_data / "wmt" / f"wmt22.{pair}" / "automatic-scores.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            metric, _, references = row["metric"].partition("-")
            if metric in ("bleu", "chrf"):
                found.setdefault(row["system"], {}).setdefault(references, {})[metric] = float(row["score"])
    return found


def check_system(test_data, run_step, pair, system, references, expected):
    end, tokenize = PAIRS[pair]
    base = test_data / "wmt" / f"wmt22.{pair}" / f"generaltest2022.{pair}"
    letters = (
        ("AB" if base.with_name(f"{base.name}.ref.B.{end}").exists() else "A") if references == "all" else references
    )
    paths = [base.with_name(f"{base.name}.ref.{letter}.{end}") for letter in letters]
    hypotheses = base.with_name(f"{base.name}.hyp.{system}.{end}")
    found, _ = run_step(
        translation, predictions=hypotheses, references=paths, tokenize=tokenize, metrics=list(expected)
    )
    for name, value in expected.items():
        score = found.score(name)
        assert score.value == pytest.approx(value, abs=0.01), (pair, system, references, name)
        assert score.interval.low < score.value < score.interval.high
    return len(expected)


@pytest.mark.parametrize(
    ("pair", "system", "references"),
    [("uk-en", "GTCOM", "A"), ("ja-en", "NT5", "all"), ("en-zh", "Online-B", "all")],
)
def test_published_scores_of_wmt22(pair, system, references, test_data, run_step):
    check_system(test_data, run_step, pair, system, references, published(test_data, pair)[system][references])


@pytest.mark.slow
def test_all_174_published_rows_of_wmt22(test_data, run_step):
    rows = 0
    for pair in PAIRS:
        for system, by_references in published(test_data, pair).items():
            for references, expected in by_references.items():
                rows += check_system(test_data, run_step, pair, system, references, expected)
    assert rows == 174


@pytest.mark.parametrize(
    "system", [pytest.param(s, marks=pytest.mark.slow) if i > 2 else s for i, s in enumerate(WMT17_BLEU)]
)
def test_the_known_bleu_of_wmt17(system, test_data, run_step):
    folder = test_data / "wmt" / "wmt17.en-de"
    found, card = run_step(
        translation,
        predictions=folder / f"hyp.{system}.tok.txt",
        references=folder / "reference.tok.txt",
        metrics=["bleu"],
        tokenize="none",
    )
    assert round(found.score("bleu").value, 4) == WMT17_BLEU[system]
    assert found.score("bleu").unit == "BLEU|#:1|c:mixed|e:no|tok:none|s:exp|v:2.6.0"
    assert card.metrics == {"segments": 3004, "references": 1, "empty_translations": 0, "empty_references": 0}


def test_two_systems_are_compared_by_their_sums(test_data, run_step):
    folder = test_data / "wmt" / "wmt17.en-de"
    ours, theirs = (
        run_step(
            translation,
            predictions=folder / f"hyp.{system}.tok.txt",
            references=folder / "reference.tok.txt",
            metrics=["bleu"],
            tokenize="none",
        )[0]
        for system in ("uedin-nmt.4722", "LIUM-NMT.4900")
    )
    verdict, _ = run_step(compare, candidate=ours, baseline=theirs, better_than=0.5)
    assert verdict.ruling.decision == "pass"
    assert verdict.ruling.numbers["difference"] == pytest.approx(23.3868 - 21.6098, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "chrf", "ter"), [("LIUM-NMT.4900", 55.9284, 63.252), ("uedin-nmt.4722", 57.7227, 61.198)]
)
def test_the_known_chrf_and_ter_of_wmt17(system, chrf, ter, test_data, run_step):
    folder = test_data / "wmt" / "wmt17.en-de"
    found, _ = run_step(
        translation,
        predictions=folder / f"hyp.{system}.tok.txt",
        references=folder / "reference.tok.txt",
        metrics=["chrf", "ter"],
        tokenize="none",
    )
    assert round(found.score("chrf").value, 4) == chrf
    assert round(found.score("ter").value, 3) == ter
    assert found.score("ter").direction == "lower is better"


LINES = {
    "hyp": ["Tom & Anna sat down .", "It rains .", "The end of it ."],
    "ref": ["Tom & Anna sit down .", "It is raining .", "The end ."],
}


def write_plain(folder):
    for name, lines in LINES.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return {"predictions": folder / "hyp.txt", "references": folder / "ref.txt"}


def write_sgml(folder):
    for name, lines in LINES.items():
        a, b, c = (line.replace("&", "&amp;") for line in lines)
        (folder / f"{name}.sgm").write_text(
            f'<{name}set setid="x" srclang="de">\n<doc docid="one" sysid="s">\n<p>\n<seg id="1"> {a}</seg>\n'
            f'<seg id="2">{b}</seg></p>\n</doc><DOC sysid=\'s\' DOCID="two">\n<seg id="1">{c} </seg></DOC></{name}set>'
        )
    return {"predictions": folder / "hyp.sgm", "references": folder / "ref.sgm"}


def write_xml(folder):
    def part(kind, about, lines):
        return f"<{kind} {about}><p>" + "".join(f'<seg id="{i}">{t}</seg>' for i, t in lines) + f"</p></{kind}>"

    made = []
    for name, rows in {"one": [0, 1], "two": [2]}.items():
        numbered = {k: [(i + 1, v[r].replace("&", "&amp;")) for i, r in enumerate(rows)] for k, v in LINES.items()}
        made.append(
            f'<doc id="{name}" origlang="de">'
            + part("src", 'lang="de"', numbered["ref"])
            + part("ref", 'lang="en" translator="A"', numbered["ref"])
            + part("hyp", 'system="good" language="en"', numbered["ref"])
            + part("hyp", 'system="s" language="en"', numbered["hyp"])
            + "</doc>"
        )
    suite = '<doc id="suite" testsuite="t"><src lang="de"><seg id="1">x</seg></src></doc>'
    path = folder / "all.xml"
    whole = "".join(made) + suite
    path.write_text(f'<?xml version="1.0" encoding="UTF-8"?><dataset id="x"><collection>{whole}</collection></dataset>')
    return {"predictions": path, "references": path, "system": "s"}


def test_plain_text_sgml_and_xml_give_one_score(tmp_path, run_step):
    plain, _ = run_step(translation, **write_plain(tmp_path))
    for write in (write_sgml, write_xml):
        found, _ = run_step(translation, **write(tmp_path))
        assert [s.value for s in found.scores] == [s.value for s in plain.scores]
        assert found.items().column("row_id").to_pylist() == ["one:1", "one:2", "two:1"]
        assert (found.scores[0].cluster_unit, found.scores[0].n_clusters) == ("document", 2)
    assert (plain.scores[0].cluster_unit, plain.scores[0].n_clusters) == ("segment", 3)
    names = tmp_path / "docs"
    names.write_text("a\na\nb\n")
    named, _ = run_step(translation, **write_plain(tmp_path), documents=names)
    assert named.scores[0].n_clusters == 2


def test_rows_of_a_dataset_with_two_references(make_dataset, run_step):
    rows = [{"prediction": h, "reference": [r, h]} for h, r in zip(*LINES.values(), strict=True)]
    found, card = run_step(translation, rows=make_dataset(rows), metrics=["bleu", "chrf", "ter"])
    assert [s.value for s in found.scores] == [100, 100, 0]
    assert (card.metrics["segments"], card.metrics["references"]) == (3, 2)
    assert found.read_json("extra.json")["signatures"]["ter"].startswith("TER|#:2|")
    assert found.items().column("sentence_ter").to_pylist() == [0, 0, 0]
    rows[2]["reference"] = rows[2]["reference"][:1]
    with pytest.raises(InputError, match="row 2 has 1 references and row 0 has 2"):
        run_step(translation, rows=make_dataset(rows))


def test_what_is_empty_is_counted_and_unspaced_text_is_pointed_out(make_dataset, run_step):
    rows = [{"prediction": "", "reference": "今天天气很好"}, {"prediction": "再见", "reference": ""}]
    _, card = run_step(translation, rows=make_dataset(rows))
    assert card.notes[0] == "1 translations are empty; 1 references are empty"
    assert (card.metrics["empty_translations"], card.metrics["empty_references"]) == (1, 1)
    assert "tokenize=zh" in card.notes[1]


@pytest.mark.parametrize("texts", [["a b c d e f", "foo bar", ""], [*["the cat sat on a mat"] * 40, ""], [""] * 3])
def test_ter_with_an_empty_reference_lies_in_its_interval(texts, make_dataset, run_step):
    """Edits of what has no words: the rate is above that of every segment."""
    from sacrebleu.metrics import TER

    said = [*["a dog"] * (len(texts) - 1), "the cat sat on the mat " * 9]
    rows = [{"prediction": h, "reference": r} for h, r in zip(said, texts, strict=True)]
    found, card = run_step(translation, rows=make_dataset(rows), metrics=["ter"])
    score = found.score("ter")
    assert score.value == pytest.approx(TER().corpus_score(said, [texts]).score)
    assert score.interval.low < score.interval.high
    assert score.interval.low <= score.value <= score.interval.high
    assert card.metrics["empty_references"] == texts.count("")


def test_bad_files_are_refused(tmp_path, run_step):
    plain, sgml, xml = write_plain(tmp_path), write_sgml(tmp_path), write_xml(tmp_path)
    short = tmp_path / "short.txt"
    short.write_text("one\n")
    broken = tmp_path / "broken.sgm"
    broken.write_text(sgml["predictions"].read_text()[:150])
    other = tmp_path / "other.sgm"
    other.write_text(sgml["references"].read_text().replace("two", "three"))
    cut = tmp_path / "cut.xml"
    cut.write_text(xml["predictions"].read_text()[:300])
    for given, message in [
        ({**plain, "predictions": short}, "has 1 segments and reference 1 has 3"),
        ({"predictions": short, "references": short}, "has 1 segment: at least two"),
        ({**sgml, "predictions": broken}, "1 <refset> or <tstset> are opened and 0 closed"),
        ({**sgml, "references": other}, r"segment 3 is two:1 in .* three:1 in reference 1"),
        ({**xml, "predictions": cut}, "not well-formed XML"),
        ({**xml, "system": "t"}, "no system 't'"),
        ({**xml, "system": ""}, "has 2 systems"),
        ({**xml, "translator": "B"}, "no translator 'B'"),
        ({**plain, "documents": short}, "has 1 lines for 3 segments"),
        ({**plain, "metrics": ["bleu", "bleu"]}, "name each metric once"),
        ({"predictions": short}, "give predictions and references"),
    ]:
        with pytest.raises(InputError, match=message):
            run_step(translation, **given)
