"""What a user would write with the other tools to drop near duplicates, each at its fastest honest setting."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# The threshold of both lies below 0.8: they accept by an estimate of the similarity, so that at 0.8 itself they find
# half of the pairs at 0.8. With this one, and no fewer bands than these, both reach a recall of .995.
THRESHOLD = 0.7
PERMUTATIONS = 128
RENSA_BANDS = 32
DATASKETCH_BANDS = (21, 6)  # by itself it takes 9 of 13 for 0.8, and finds 3 of 4 pairs


def shingles(text: str) -> list[str]:
    """Runs of five words, in the fastest way that plain Python has."""
    w = text.lower().split()
    return [" ".join(run) for run in zip(w, w[1:], w[2:], w[3:], w[4:], strict=False)] or [" ".join(w)]


def with_rensa(texts: list[str]) -> list[bool]:
    """For each text whether it is kept."""
    from rensa import RMinHashDeduplicator

    made = RMinHashDeduplicator(THRESHOLD, PERMUTATIONS, True, RENSA_BANDS)
    kept: list[bool] = made.add_pairs((str(i), shingles(text)) for i, text in enumerate(texts))
    return kept


def with_datasketch(texts: list[str]) -> list[bool]:
    """For each text whether it is kept: no text before it shares a bucket with it and seems as similar."""
    from datasketch import MinHash, MinHashLSH
    from xxhash import xxh32_intdigest  # half the time of its own sha1

    index = MinHashLSH(num_perm=PERMUTATIONS, params=DATASKETCH_BANDS)
    tokens = ([s.encode() for s in shingles(text)] for text in texts)
    sketches: list[MinHash] = []
    kept = []
    for i, sketch in enumerate(MinHash.generator(tokens, num_perm=PERMUTATIONS, hashfunc=xxh32_intdigest)):
        kept.append(not any(sketch.jaccard(sketches[other]) >= THRESHOLD for other in index.query(sketch)))
        index.insert(i, sketch, check_duplication=False)
        sketches.append(sketch)
    return kept


def with_datatrove(source: Path, work: Path) -> list[int]:
    """The four MinHash stages of datatrove, Parquet in and out. Returns the `id` of the documents that are kept."""
    import pyarrow.dataset as ds
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter
    from datatrove.utils.hashing import HashConfig

    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8, hash_config=HashConfig(hash_fc="xxhash"))
    at = {name: str(work / name) for name in ("signatures", "buckets", "remove", "kept", "logs")}

    def stage(number: int, pipeline: list[object], tasks: int = 1) -> None:
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=f"{at['logs']}/{number}").run()

    def reader() -> ParquetReader:
        return ParquetReader(str(source), id_key="id", text_key="text", doc_progress=False)

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # it logs hundreds of lines
        stage(1, [reader(), MinhashDedupSignature(at["signatures"], config=config)])
        stage(2, [MinhashDedupBuckets(at["signatures"], at["buckets"], config=config)], tasks=config.num_buckets)
        stage(3, [MinhashDedupCluster(at["buckets"], at["remove"], config=config)])
        stage(4, [reader(), MinhashDedupFilter(at["remove"]), ParquetWriter(at["kept"])])
    return [int(i) for i in ds.dataset(at["kept"], format="parquet").to_table(["id"]).column("id").to_pylist()]
