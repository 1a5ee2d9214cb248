"""Near-duplicate removal against rensa, datasketch and datatrove: the same documents, in turn, in one process.

    python bench/near_dedup.py [--quick] [--json]
    python bench/near_dedup.py --million [--documents 1000000]

30,000 real documents (68 MB of the documentation on this machine), 3,930 of them edits of another at a true Jaccard
similarity of 0.8 to 1, 1,000 exact copies. From text in memory (an Arrow column for ours, Python strings for the
others, which take nothing else) ours stands against rensa and datasketch at settings that reach its recall; as a
whole step, from Parquet to Parquet, `data.near_dedup` stands against datatrove's four MinHash stages. CPU seconds of
all threads; compiling, which happens once per machine, is not counted. `agree` says that at least .995 of the planted
pairs are found, that at least .995 of what is dropped has a true similarity of 0.8 to what is kept for it, told with
sets of words and no code of ours, that rensa and datasketch were held to the same recall, that 1 % of new documents
cost less than 5 % of a whole run, and that of them the same are kept.

--million: a million documents of 1.3 KB made of parts of real ones, by the step; seconds and peak memory.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from _near_corpus import DOCUMENTS, combined, jaccard, planted, shingles
from _near_peers import with_datasketch, with_datatrove, with_rensa

from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.data._near_index import texts_of
from loomwork.data.near_dedup import near_dedup
from loomwork.text.minhash import near_duplicates, preferred, sketch

LEAST = 0.995
LEAST_OF_FEW = 0.98  # for the others with --quick: of 786 pairs, chance moves the share by half a per cent
MOST_FOR_NEW = 0.05


def spent(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, all its threads, and its children."""
    gc.collect()
    start = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    result = work()
    end = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return end - start, result


def ours(column: pa.ChunkedArray) -> np.ndarray:
    """For each text the place of the one that is kept for it."""
    (texts,) = texts_of(column)
    found = sketch(texts, threads=context().threads)
    return near_duplicates(found, order=preferred(found), threads=context().threads).kept


def recall(kept: Any, pairs: list[tuple[int, int]]) -> float:
    """The share of planted pairs of which not both are kept."""
    return sum(not (kept[a] and kept[b]) for a, b in pairs) / len(pairs)


def precision(texts: list[str], kept: np.ndarray, most: int) -> float:
    """The share of dropped texts whose true similarity to what is kept for them is at least 0.8."""
    dropped = np.flatnonzero(kept != np.arange(len(texts)))
    some = np.random.default_rng(0).permutation(dropped)[:most]
    return sum(jaccard(shingles(texts[i]), shingles(texts[kept[i]])) >= 0.8 for i in some) / len(some)


def in_memory(texts: list[str], pairs: list[tuple[int, int]], rounds: int, most: int) -> dict[str, Any]:
    column = pa.chunked_array([pa.array(texts, pa.large_string())])
    ours(column)  # compiled, or read from the cache
    seconds: dict[str, list[float]] = {"ours": [], "rensa": [], "datasketch": []}
    found: dict[str, Any] = {}
    for turn in range(rounds):
        for _ in range(3):
            took, found["ours"] = spent(lambda: ours(column))
            seconds["ours"].append(took)
        took, found["rensa"] = spent(lambda: with_rensa(texts))
        seconds["rensa"].append(took)
        if turn == 0:
            took, found["datasketch"] = spent(lambda: with_datasketch(texts))
            seconds["datasketch"].append(took)
    right = precision(texts, found["ours"], most)
    found["ours"] = found["ours"] == np.arange(len(texts))
    return {
        "seconds": {name: statistics.median(took) for name, took in seconds.items()},
        "recall": {name: recall(kept, pairs) for name, kept in found.items()},
        "kept": {name: int(np.sum(kept)) for name, kept in found.items()},
        "precision": right,
    }


def written(folder: Path, texts: list[str], first: int = 0) -> Dataset:
    folder.mkdir()
    with DatasetWriter(folder) as writer:
        writer.write(pa.table({"id": [str(first + i) for i in range(len(texts))], "text": texts}))
    return Dataset(folder)


def stepped(out: Path, data: Dataset, **settings: Any) -> tuple[float, list[int]]:
    """CPU seconds of the step, and the `id` of the rows that it keeps."""
    out.mkdir()
    took, _ = spent(lambda: near_dedup(data, out=out, **settings))
    return took, [int(i) for i in Dataset(out, "data").table(["id"]).column("id").to_pylist()]


def whole_step(work: Path, texts: list[str], pairs: list[tuple[int, int]], rounds: int, share: float) -> dict[str, Any]:
    """The step, and datatrove on the first `share` of the documents, with its seconds made those of all of them."""
    data = written(work / "in", texts)
    runs = [stepped(work / f"out{i}", data) for i in range(3 * rounds)]
    few = written(work / "few", texts[:20])
    with_datatrove(few.path / "data", work / "loaded")  # its word splitter is loaded once
    some = round(len(texts) * share)
    source = written(work / "some", texts[:some])
    trove, kept = spent(lambda: with_datatrove(source.path / "data", work / "datatrove"))
    kept_by = {"ours": set(runs[0][1]), "datatrove": set(kept)}
    planted_there = [p for p in pairs if max(p) < some]
    return {
        "seconds": {"ours": statistics.median(r[0] for r in runs), "datatrove": trove / share},
        "recall": {name: recall([i in ids for i in range(len(texts))], planted_there) for name, ids in kept_by.items()},
    }


def incremental(work: Path, texts: list[str], rounds: int) -> dict[str, Any]:
    """1 % of the documents added to the result of the others, and a whole run on both; both make an index."""
    cut = len(texts) * 99 // 100
    rule = {"keep": "first"}
    _, old = stepped(work / "known", written(work / "old", texts[:cut]), index=True, **rule)
    new = written(work / "new", texts[cut:], cut)
    known = Dataset(work / "known", "data")
    added = [stepped(work / f"added{i}", new, known=known, index=True, **rule) for i in range(3 * rounds + 1)]
    both = written(work / "both", [*known.table(["text"]).column("text").to_pylist(), *texts[cut:]])
    whole = [stepped(work / f"whole{i}", both, index=True, **rule) for i in range(3 * rounds + 1)]
    ids = [*old, *range(cut, len(texts))]
    seconds = statistics.median(s for s, _ in added[1:]), statistics.median(s for s, _ in whole[1:])
    return {
        "new_rows": len(texts) - cut,
        "seconds": {"new": seconds[0], "whole": seconds[1]},
        "share": seconds[0] / seconds[1],
        "same": added[0][1] == [ids[i] for i in whole[0][1]],
    }


def million(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "in").mkdir()
        with DatasetWriter(work / "in") as writer:
            for batch in combined(count):
                writer.write(pa.table({"text": batch}))
        data = Dataset(work / "in")
        size = sum(len(t.encode()) for row in data.batches(["text"]) for t in row.column("text").to_pylist())
        (work / "warm").mkdir()
        near_dedup(written(work / "few", ["a b c", "d e f"]), out=work / "warm")
        peak = Path("/proc/self/clear_refs")
        if peak.exists():
            peak.write_text("5")  # the peak is counted from here on
        (work / "out").mkdir()
        start = time.perf_counter()
        took, card = spent(lambda: near_dedup(data, out=work / "out"))
        wall = time.perf_counter() - start
        lines = Path("/proc/self/status").read_text().splitlines() if peak.exists() else []
        memory = [line.split()[1] for line in lines if line.startswith("VmHWM")]
        print(f"{count:,} documents, {size / 1e9:.2f} GB: {wall:.1f} s, {took:.1f} CPU s")
        print(f"peak memory {int(memory[0]) / 1e6:.2f} GB, mapped files counted" if memory else "peak memory not known")
        print(card.metrics)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="6,000 documents, datatrove on a quarter of them")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--million", action="store_true", help="a million documents by the step, nothing else")
    parser.add_argument("--documents", type=int, default=1_000_000, help="how many with --million")
    arguments = parser.parse_args()
    if arguments.million:
        million(arguments.documents)
        return
    count, rounds, share = (6_000, 1, 0.25) if arguments.quick else (DOCUMENTS, 3, 1.0)
    texts, pairs = planted(count)
    memory = in_memory(texts, pairs, rounds, 500 if arguments.quick else count)
    with tempfile.TemporaryDirectory() as folder:
        step = whole_step(Path(folder), texts, pairs, rounds, share)
        new = incremental(Path(folder), texts, rounds)
    ratios = {name: memory["seconds"][name] / memory["seconds"]["ours"] for name in ("rensa", "datasketch")}
    ratios["datatrove"] = step["seconds"]["datatrove"] / step["seconds"]["ours"]
    least = LEAST_OF_FEW if arguments.quick else LEAST
    right = min(memory["precision"], memory["recall"]["ours"]) >= LEAST and min(memory["recall"].values()) >= least
    cheap = arguments.quick or new["share"] < MOST_FOR_NEW  # of 6,000 documents, opening files is most of the cost
    agree = right and step["recall"]["ours"] >= LEAST and new["same"] and cheap
    if arguments.json:
        print(json.dumps({"ratios": ratios, "agree": agree, "memory": memory, "step": step, "new": new}))
        return
    print(f"{count:,} documents, {sum(len(t.encode()) for t in texts) / 1e6:.1f} MB, {len(pairs):,} planted pairs")
    print(f"precision of what is dropped {memory['precision']:.4f}")
    for name in ("ours", "rensa", "datasketch"):
        times = "" if name == "ours" else f"   {ratios[name]:6.1f} times ours"
        print(f"{name:24} {memory['seconds'][name]:8.3f} CPU s   recall {memory['recall'][name]:.4f}{times}")
    for name in ("ours", "datatrove"):
        times = "" if name == "ours" else f"   {ratios[name]:6.1f} times ours"
        print(
            f"{name + ', whole step':24} {step['seconds'][name]:8.3f} CPU s   recall {step['recall'][name]:.4f}{times}"
        )
    seconds = f"{new['seconds']['new']:.3f} of {new['seconds']['whole']:.3f} CPU s"
    print(
        f"{new['new_rows']} new documents cost {new['share']:.1%} of a whole run ({seconds}), same kept: {new['same']}"
    )
    print("the results agree" if agree else "THE RESULTS DO NOT AGREE")


if __name__ == "__main__":
    main()
