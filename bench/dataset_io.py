"""Reading and writing a dataset, beside plain pyarrow on the same Parquet: the same rows and columns, zstd.

    python bench/dataset_io.py [--quick] [--json]

Two tables: documents (the corpus of _corpus.py), and short rows (its lines, with two numbers). Ours computes the row
ids when it writes; pyarrow is given them ready, and writes and reads the same columns. CPU seconds, medians of rounds
in turn. Held to: each at most twice as much as pyarrow, that is, a ratio of at least 0.5.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from _corpus import documents

from loomwork.core.dataset import Dataset, DatasetWriter

BAR = 0.5
Work = Callable[[], Any]


def corpora(quick: bool) -> dict[str, pa.Table]:
    texts = documents(3_000 if quick else 30_000)
    whole = pa.table({"text": texts, "source": [f"corpus/{i // 100}.txt:{i % 100}" for i in range(len(texts))]})
    lines = [line.strip() for text in texts for line in text.splitlines() if 20 <= len(line.strip()) <= 200]
    lines = lines[: 50_000 if quick else 500_000]
    counts = pc.utf8_length(pa.array(lines))
    return {"documents": whole, "short rows": pa.table({"text": lines, "length": counts, "label": range(len(lines))})}


def cpu_seconds(work: Work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def in_turn(works: dict[str, Work], rounds: int) -> dict[str, float]:
    """The median CPU seconds of each, one after the other in every round; a first round only warms up."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            seconds = cpu_seconds(work)
            if number:
                taken[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def measure(table: pa.Table, folder: Path, rounds: int) -> tuple[dict[str, dict[str, float]], bool]:
    """CPU seconds of writing and reading, by ours and by pyarrow; and whether they gave the same rows."""
    ours = folder / "ours"

    def write() -> None:
        shutil.rmtree(ours, ignore_errors=True)
        ours.mkdir()
        with DatasetWriter(ours) as writer:
            writer.write(table)

    write()
    data = Dataset(ours)
    shards = [pq.read_table(shard, partitioning=None) for shard in data.shards()]
    plain = [folder / f"{i}.parquet" for i in range(len(shards))]

    def write_plain() -> None:
        for shard, file in zip(shards, plain, strict=True):
            pq.write_table(shard, file, compression="zstd")

    def read() -> list[pa.Table]:
        return list(data.tables())

    def read_plain() -> list[pa.Table]:
        return [pq.read_table(shard, partitioning=None) for shard in data.shards()]

    seconds = {
        "write": in_turn({"ours": write, "pyarrow": write_plain}, rounds),
        "read": in_turn({"ours": read, "pyarrow": read_plain}, rounds),
    }
    same = read() == read_plain() == [pq.read_table(file) for file in plain]
    return seconds, same and data.table(table.column_names).equals(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    ratios, agree, lines = {}, True, []
    for name, table in corpora(arguments.quick).items():
        with tempfile.TemporaryDirectory() as folder:
            found, same = measure(table, Path(folder), 3 if arguments.quick else 5)
        agree &= same
        for verb, seconds in found.items():
            ratio = seconds["pyarrow"] / seconds["ours"]
            ratios[f"pyarrow, {verb} {name}"] = round(ratio, 2)
            held = "held" if ratio >= BAR else "NOT HELD"
            lines.append(
                f"{verb:5} {len(table):7,} {name:10} {table.nbytes / 1e6:5.1f} MB  ours {seconds['ours']:5.3f}  pyarrow"
                f" {seconds['pyarrow']:5.3f} CPU s  ratio {ratio:4.2f} (at least {BAR}: {held})"
            )
    if arguments.json:
        print(json.dumps({"ratios": ratios, "agree": agree, "bar": BAR}))
        return
    print("\n".join(lines))
    print("both wrote and read the same rows" if agree else "THE ROWS ARE NOT THE SAME")


if __name__ == "__main__":
    main()
