"""What differs between two versions of a dataset."""

from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.data.clean import clean
from loomwork.data.split import split
from loomwork.data.version_diff import version_diff


def rows(texts, file="a.txt"):
    return [{"text": t, "source": f"{file}:{i}"} for i, t in enumerate(texts, 1)]


def test_equal_content_elsewhere_is_kept(make_dataset):
    old = make_dataset(rows(["one", "two", "two", "three"]))
    new = make_dataset(rows(["zero", "two", "one", "three"], "b.txt"))
    found = version_diff(old, new)
    assert (found.kept, found.added, found.removed, found.changed) == (3, 1, 1, 0)
    assert found.by_source == {"a.txt": (0, 1, 0), "b.txt": (1, 0, 0)}
    assert found.examples["added"][0].endswith("b.txt:1  zero")


def test_a_row_at_the_same_place_with_another_text_is_changed(make_dataset):
    found = version_diff(make_dataset(rows(["one", "two", "three"])), make_dataset(rows(["one", "TWO", "three", "4"])))
    assert (found.kept, found.added, found.removed, found.changed) == (2, 1, 0, 1)
    assert found.by_source == {"a.txt": (1, 0, 1)}
    (line,) = found.examples["changed"]
    assert "two ->" in line
    assert line.endswith("TWO")


def test_lines_that_moved_up_are_not_changed(make_dataset):
    texts = [f"sentence number {i} speaks of {word}" for i, word in enumerate(["apples", "bears", "clouds", "doors"])]
    other = ["a wholly different line", "nothing in common here", *texts]
    found = version_diff(make_dataset(rows(other)), make_dataset(rows(texts)))
    assert (found.kept, found.added, found.removed, found.changed) == (4, 0, 2, 0)
    swapped = version_diff(make_dataset(rows(["red green blue", "x"])), make_dataset(rows(["one two three", "x"])))
    assert (swapped.added, swapped.removed, swapped.changed) == (1, 1, 0)


def test_a_cleaned_row_stands_for_its_origin(make_dataset, run_step):
    raw = make_dataset([{"text": f"row {i}" + "  " * (i % 3)} for i in range(9)])
    cleaned, _ = run_step(clean, data=raw)
    found = version_diff(raw, cleaned)
    assert (found.kept, found.added, found.removed, found.changed) == (3, 0, 0, 6)
    longer, _ = run_step(clean, data=raw, min_chars=6)
    assert version_diff(raw, longer).removed == 9


def test_parts_repeats_and_columns(make_dataset, run_step):
    data = make_dataset([{"text": f"row {i % 5}", "n": 1} for i in range(10)])
    assert len({r["row_id"] for r in data.rows()}) == 5
    parts, _ = run_step(split, data=data, holdout=0.5)
    assert version_diff(data, parts).kept == 10
    fewer = make_dataset([{"text": f"row {i}", "n": 1} for i in range(5)])
    found = version_diff(data, fewer)
    assert (found.kept, found.removed) == (5, 5)
    other = make_dataset([{"text": f"row {i}", "m": 1} for i in range(5)])
    assert version_diff(fewer, other).columns == ["- n", "+ m"]


def test_statistics_that_moved_are_named_and_others_are_not(make_dataset):
    old = make_dataset([{"text": f"w{i} " * (3 + i % 4), "kind": "ab"[i % 2], "n": i % 10} for i in range(400)])
    new = make_dataset([{"text": f"w{i} " * (5 + i % 4), "kind": "ab"[i % 2], "n": i % 10} for i in range(400)])
    assert version_diff(old, old).moved == []
    (sentence,) = [s for s in version_diff(old, new).moved if s.startswith("length")]
    assert "length of text has drifted: ks 0.49" in sentence
    assert all("kind" not in s and s.split()[0] != "n" for s in version_diff(old, new).moved)


def test_an_empty_version(make_dataset):
    found = version_diff(make_dataset([]), make_dataset(rows(["a"])))
    assert (found.rows, found.added) == ((0, 1), 1)
    assert isinstance(make_dataset([]), Dataset)


def test_a_column_of_another_type_has_moved(make_dataset):
    old = make_dataset([{"text": f"line {i}", "n": i} for i in range(40)])
    new = make_dataset([{"text": f"line {i}", "n": f"no. {i}"} for i in range(40)])
    found = version_diff(old, new)
    assert any("type of n: int64 -> string" in line for line in found.moved)


def test_times_of_day_are_compared(make_dataset):
    import datetime

    def at(hours):
        return make_dataset([{"text": "a", "at": datetime.time(h % 24, 5)} for h in hours])

    assert not version_diff(at(range(60)), at(range(60))).moved
    assert any("at" in line for line in version_diff(at([3] * 60), at([22] * 60)).moved)


def test_rows_that_stand_in_another_part_are_counted(make_dataset, run_step):
    data = make_dataset([{"text": f"line {i}"} for i in range(50)])
    one, two = (run_step(split, data=data, holdout=0.2, seed=seed)[0] for seed in (1, 2))
    held = [{r["text"] for r in x.select("holdout").rows()} for x in (one, two)]
    moved = len(held[1] - held[0])
    assert 0 < moved <= 10
    found = version_diff(one, two)
    assert (found.kept, found.added, found.removed) == (50, 0, 0)
    assert found.between == {"holdout -> train": moved, "train -> holdout": moved}
    assert version_diff(one, one).between == {}
    assert version_diff(data, one).between == {}  # the parts are new


def test_of_repeated_rows_those_that_moved_are_counted(tmp_path):
    def parts(name, train, holdout):
        with DatasetWriter(tmp_path / name) as writer:
            writer.write([{"text": "same"}] * train, part="train")
            writer.write([{"text": "same"}] * holdout, part="holdout")
        return Dataset(tmp_path / name)

    assert version_diff(parts("a", 3, 1), parts("b", 2, 2)).between == {"train -> holdout": 1}
    assert version_diff(parts("c", 3, 1), parts("d", 3, 1)).between == {}
