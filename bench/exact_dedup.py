"""Exact deduplication: how much text per CPU-second, beside a Python set of hashes and datatrove's three stages.

    python bench/exact_dedup.py [--quick] [--json]

Real documents (_corpus.py), every fifth of them twice. Two comparisons, CPU seconds, medians of rounds in turn:
in memory, texts in and a mark for each out: ours (two 64-bit hashes in Polars and the first of equals), and a set of
xxh3_128 and of BLAKE2b digests in Python; and as a whole, from Parquet to Parquet: the step data.exact_dedup, with row
ids and the dropped rows kept, and datatrove's signature, find and filter stages from Parquet to Parquet.
Held to: at least 1,000 MB per CPU-second in memory. `agree`: all keep the same documents.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from _corpus import documents
from datatrove.pipeline.dedup.exact_dedup import (
    ExactDedupConfig,
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
)
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.logging import logger

from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.data.exact_dedup import exact_dedup, first_of_equals, row_hashes

BAR_MB = 1_000
Kept = list[bool]


def ours(texts: pl.DataFrame) -> Kept:
    first = first_of_equals([row_hashes(texts)])
    return (first == range(len(first))).tolist()  # type: ignore[no-any-return]


def digest_set(texts: list[str], digest: Callable[[bytes], bytes]) -> Kept:
    seen: set[bytes] = set()
    kept = []
    for text in texts:
        name = digest(text.encode())
        kept.append(name not in seen)
        seen.add(name)
    return kept


def blake2b(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def content(document: Any) -> str:
    return document.text  # type: ignore[no-any-return]


def datatrove(source: Path, folder: Path) -> list[str]:
    """The texts that datatrove's stages keep."""
    shutil.rmtree(folder, ignore_errors=True)
    config = ExactDedupConfig(content_getter=content, hash_config=HashConfig(precision=64, hash_fc="xxhash"))
    read = ParquetReader(str(source), doc_progress=False)
    ExactDedupSignature(str(folder / "signatures"), config).run(read.run(), 0, 1)
    ExactFindDedups(str(folder / "signatures"), str(folder / "found"), config).run(None, 0, 1)
    documents_left = ExactDedupFilter(str(folder / "found"), config).run(
        ParquetReader(str(source), doc_progress=False).run(), 0, 1
    )
    with ParquetWriter(str(folder / "kept"), compression="zstd") as writer:
        for document in documents_left:
            writer.write(document, 0)
    return [text for file in sorted((folder / "kept").iterdir()) for text in pq.read_table(file)["text"].to_pylist()]


def step(source: Dataset, folder: Path) -> Dataset:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    exact_dedup(source, columns=["text"], out=folder)
    return Dataset(folder)


def in_turn(works: dict[str, Callable[[], Any]], rounds: int) -> tuple[dict[str, float], dict[str, Any]]:
    """The median CPU seconds of each and what each returned; a first round only warms up."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    results = {}
    for number in range(rounds + 1):
        for name, work in works.items():
            start = time.process_time()
            results[name] = work()
            if number:
                taken[name].append(time.process_time() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}, results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the documents, fewer rounds")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    real = documents(3_000 if arguments.quick else 30_000)
    texts = real + real[::5]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    frame = pl.DataFrame({"text": texts})
    memory, kept = in_turn(
        {
            "ours": lambda: ours(frame),
            "xxh3_128 set": lambda: digest_set(texts, xxhash.xxh3_128_digest),
            "blake2b set": lambda: digest_set(texts, blake2b),
        },
        3 if arguments.quick else 7,
    )
    agree = kept["ours"] == kept["xxh3_128 set"] == kept["blake2b set"] and sum(kept["ours"]) == len(real)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        with DatasetWriter(folder / "in") as writer:
            writer.write(pa.table({"text": texts, "id": [str(i) for i in range(len(texts))]}))
        source = Dataset(folder / "in")
        whole, made = in_turn(
            {
                "ours": lambda: step(source, folder / "ours"),
                "datatrove": lambda: datatrove(source.path / "data", folder / "datatrove"),
            },
            1 if arguments.quick else 3,
        )
        agree &= made["ours"].table(["text"])["text"].to_pylist() == made["datatrove"] == real
    ratios = {f"{peer}, in memory": memory[peer] / memory["ours"] for peer in memory if peer != "ours"}
    ratios["datatrove, Parquet to Parquet"] = whole["datatrove"] / whole["ours"]
    ratios = {peer: round(ratio, 2) for peer, ratio in ratios.items()}
    if arguments.json:
        print(json.dumps({"ratios": ratios, "agree": agree, "mb_per_cpu_second": megabytes / memory["ours"]}))
        return
    print(f"{len(texts):,} documents, {megabytes:.1f} MB, {len(texts) - len(real):,} of them copies")
    for title, seconds in (("in memory", memory), ("Parquet to Parquet", whole)):
        for who, s in seconds.items():
            print(f"{title:18} {who:12} {s:7.3f} CPU s  {megabytes / s:7,.0f} MB per CPU-second")
    held = "held" if megabytes / memory["ours"] >= BAR_MB else "NOT HELD"
    print(f"times faster: {ratios}; at least {BAR_MB:,} MB per CPU-second in memory: {held}")
    print("all keep the same documents" if agree else "THEY DO NOT KEEP THE SAME DOCUMENTS")


if __name__ == "__main__":
    main()
