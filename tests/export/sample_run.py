"""A run of the documentation-search recipe as plain data, with figures measured by a prototype of it."""

from __future__ import annotations

import hashlib
import math
import random

from loomwork.core.score import Interval, Ruling, Score
from loomwork.export.run_data import (
    Curve,
    DataStage,
    Difference,
    Example,
    Gate,
    ModelCost,
    Named,
    Provenance,
    RunReport,
    StepRun,
    SystemScore,
)
from loomwork.report.lineage import Node


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def score(system: str, value: float, low: float, high: float, *, contamination="checked", note="", name="MRR@10"):
    return Score(
        name=name,
        value=value,
        unit="1",
        direction="higher is better",
        n=704,
        cluster_unit="module",
        n_clusters=28,
        interval=Interval(low, high, 0.95, "cluster bootstrap, 2000 draws"),
        items="items",
        data=digest("holdout"),
        model=digest(system),
        settings=digest("retrieval"),
        contamination=contamination,
        contamination_note=note,
        seed=7,
    )


_UNKNOWN = "the base model's own training data is declared but cannot be searched"
_TABLE = [
    ("BM25", 0.413, 0.371, 0.459, "checked", "no model, nothing was trained"),
    ("MiniLM", 0.513, 0.469, 0.560, "unknown", _UNKNOWN),
    ("tuned", 0.593, 0.548, 0.634, "unknown", f"no test item in the fine-tuning data; {_UNKNOWN}"),
    ("int8 naive", 0.577, 0.531, 0.619, "unknown", "as for tuned"),
    ("int8 calibrated", 0.590, 0.545, 0.632, "unknown", "as for tuned"),
]
_DIFFERENCES = [
    ("tuned", "MiniLM", 0.080, 0.041, 0.109, 0.0, False),
    ("tuned", "BM25", 0.180, 0.139, 0.218, None, False),
    ("int8 naive", "tuned", -0.016, -0.027, -0.006, 0.01, True),
    ("int8 calibrated", "tuned", -0.0027, -0.0071, 0.0018, 0.01, False),
    ("int8 calibrated", "MiniLM", 0.077, 0.038, 0.107, None, False),
]
_EXAMPLES = [
    Example(
        query="Return a list of all the threads currently alive.",
        right="threading.enumerate() Includes daemonic threads and the main thread, but not those not yet started.",
        before=(
            "threading.active_count() The returned count is equal to the length of the list returned by enumerate().",
            "_thread.get_ident() A nonzero integer that uniquely identifies the current thread.",
            "threading.enumerate() Includes daemonic threads and the main thread, but not those not yet started.",
        ),
        after=(
            "threading.enumerate() Includes daemonic threads and the main thread, but not those not yet started.",
            "threading.active_count() The returned count is equal to the length of the list returned by enumerate().",
            "concurrent.futures.thread._python_exit()",
        ),
    ),
    Example(
        query="Merge multiple sorted inputs into a single sorted output.",
        right="heapq.merge(iterables, key, reverse) Similar to sorted(itertools.chain(*iterables)) but a generator.",
        before=(
            "bisect.insort_right(a, x, lo, hi, key) If x is already in a, insert it to the right of the rightmost x.",
            "collections.ChainMap.new_child(m, kwargs) New ChainMap with a new map followed by all previous maps.",
            "shutil.copyfileobj(fsrc, fdst, length)",
        ),
        after=(
            "heapq.merge(iterables, key, reverse) Similar to sorted(itertools.chain(*iterables)) but a generator.",
            "heapq.nsmallest(n, iterable, key) Equivalent to: sorted(iterable, key=key)[:n]",
            "bisect.insort_right(a, x, lo, hi, key) If x is already in a, insert it to the right of the rightmost x.",
        ),
    ),
    Example(
        query="Wait until a child process terminates.",
        right="subprocess.Popen.wait(timeout) Returns the returncode attribute.",
        before=(
            "subprocess.Popen.wait(timeout) Returns the returncode attribute.",
            "multiprocessing.process.BaseProcess.join(timeout)",
            "asyncio.base_subprocess.BaseSubprocessTransport._wait() This method is a coroutine.",
        ),
        after=(
            "multiprocessing.process.BaseProcess.join(timeout)",
            "subprocess.Popen.wait(timeout) Returns the returncode attribute.",
            "asyncio.base_subprocess.BaseSubprocessTransport._wait() This method is a coroutine.",
        ),
    ),
]
_NODES = [
    ("topics", "dataset", "79 rows", "cached"),
    ("docstrings", "dataset", "8,121 rows", "cached"),
    ("clean", "dataset", "7,802 rows", "cached"),
    ("exact", "dataset", "7,431 rows", "cached"),
    ("dedup", "dataset", "7,218 rows", "ran"),
    ("pairs", "dataset", "7,049 pairs", "ran"),
    ("split", "dataset", "6,345 and 704", "ran"),
    ("leak", "verdict", "no overlap", "ran"),
    ("minilm", "model", "22.7 M parameters", "cached"),
    ("bm25 scores", "scores", "MRR@10 0.413", "ran"),
    ("minilm scores", "scores", "MRR@10 0.513", "ran"),
    ("tuned", "model", "90.9 MB", "ran"),
    ("tuned scores", "scores", "MRR@10 0.593", "ran"),
    ("better", "verdict", "passed", "ran"),
    ("naive", "model", "22.9 MB", "refused"),
    ("calibrated", "model", "24.6 MB", "named"),
    ("naive scores", "scores", "MRR@10 0.577", "ran"),
    ("calibrated scores", "scores", "MRR@10 0.590", "ran"),
    ("naive verdict", "verdict", "refused", "refused"),
    ("calibrated verdict", "verdict", "passed", "ran"),
    ("index", "index", "7,049 passages", "named"),
]
_EDGES = """topics>clean docstrings>clean clean>exact exact>dedup dedup>pairs pairs>split split>leak
split>bm25 scores|split>minilm scores|minilm>minilm scores|minilm>tuned|split>tuned|tuned>tuned scores
split>tuned scores|minilm scores>better|tuned scores>better|tuned>naive|tuned>calibrated|split>calibrated
naive>naive scores|calibrated>calibrated scores|split>naive scores|split>calibrated scores
naive scores>naive verdict|tuned scores>naive verdict|tuned scores>calibrated verdict
calibrated scores>calibrated verdict|calibrated>index|pairs>index"""


def _edges() -> tuple[tuple[str, str], ...]:
    first, *rest = _EDGES.split("\n", 1)
    pairs = [*first.split(), *"|".join(rest).replace("\n", "|").split("|")]
    return tuple((a, b) for a, b in (p.split(">") for p in pairs))


def _loss() -> tuple[tuple[float, float], ...]:
    noise = random.Random(7)
    return tuple((i, 0.42 + 0.95 * math.exp(-i / 70) + noise.gauss(0, 0.06)) for i in range(1, 421))


def _steps() -> tuple[StepRun, ...]:
    rows = [
        ("docstrings", "data.read_python", True, 3.1, 210e6, None, 8121),
        ("clean", "data.clean", True, 1.2, 180e6, 8200, 7802),
        ("dedup", "data.near_dedup", False, 2.4, 240e6, 7431, 7218),
        ("split", "data.split", False, 0.31, 150e6, 7049, 7049),
        ("tuned", "train.embed", False, 110.4, 1.61e9, 6345, None),
        ("tuned scores", "evals.retrieval", False, 6.8, 900e6, 704, None),
        ("calibrated", "compress.quantize", False, 4.9, 780e6, None, None),
        ("index", "data.index", False, 11.2, 640e6, 7049, None),
    ]
    notes = {"tuned": ("The first three layers and the embeddings stayed as they were.",)}
    metrics = {"tuned": {"steps": 420, "pairs_per_second": 182.6}, "dedup": {"groups": 169}}
    return tuple(
        StepRun(name=n, step=s, cached=c, seconds=t, peak_memory_bytes=m, rows_in=i, rows_out=o,
                notes=notes.get(n, ()), metrics=metrics.get(n, {}))
        for n, s, c, t, m, i, o in rows
    )  # fmt: skip


def _gates() -> tuple[Gate, ...]:
    def ruling(decision, reason, difference, low, high, margin, p):
        numbers = {"difference": difference, "low": low, "high": high, "margin": margin, "p_value": p, "n": 704}
        return Ruling(decision, reason, 0.05, numbers)

    return (
        Gate(name="better", subject="tuned", ruling=ruling(
            "pass", "Better than MiniLM by 0.080 [0.041, 0.109] on 704 items in 28 modules.",
            0.080, 0.041, 0.109, 0.0, 0.0005)),
        Gate(name="naive verdict", subject="int8 naive", ruling=ruling(
            "refuse", "Worse than tuned by 0.016 [0.006, 0.027]: the margin of 0.010 cannot be kept.",
            -0.016, -0.027, -0.006, 0.01, 0.87)),
        Gate(name="calibrated verdict", subject="int8 calibrated", ruling=ruling(
            "pass", "Not worse than tuned by more than 0.010: the difference is −0.003 [−0.007, 0.002].",
            -0.0027, -0.0071, 0.0018, 0.01, 0.0012)),
    )  # fmt: skip


def sample_run() -> RunReport:
    return RunReport(
        recipe="docs-search",
        recipe_path="recipes/quickstart.yaml",
        started="2026-11-20 13:45 UTC",
        seconds=214.3,
        machine="2 cores, 8 GB, CPU",
        version="0.1.0",
        settings={"seed": "7", "holdout": "0.1", "not_worse_than": "0.01", "alpha": "0.05"},
        before="MiniLM",
        after="int8 calibrated",
        steps=_steps(),
        data=(
            DataStage(name="read", kept=8200, dropped={"undecodable": 3}),
            DataStage(
                name="clean",
                kept=7802,
                dropped={"too short": 291, "mostly markup": 88, "no letters": 19},
                examples=(("too short", "See above."), ("mostly markup", "=====  ======  ====== ===== ======")),
            ),
            DataStage(name="exact", kept=7431, dropped={"exact duplicate": 371}),
            DataStage(
                name="dedup",
                kept=7218,
                dropped={"near duplicate": 213},
                examples=(("near duplicate", "Return True if the object is a coroutine function (async def)."),),
            ),
            DataStage(name="pairs", kept=7049, dropped={"query under four words": 169}),
        ),
        curves=(Curve(step="tuned", name="loss", points=_loss()),),
        scores=tuple(SystemScore(system=s, score=score(s, v, lo, hi, contamination=c, note=n))
                     for s, v, lo, hi, c, n in _TABLE),
        differences=tuple(
            Difference(candidate=a, baseline=b, score=score(f"{a}-{b}", v, lo, hi), margin=m, refused=r)
            for a, b, v, lo, hi, m, r in _DIFFERENCES
        ),
        gates=_gates(),
        costs=(
            ModelCost(system="MiniLM", bytes=90_868_376, texts_per_second=61.2, latency_seconds=0.0231),
            ModelCost(system="tuned", bytes=90_868_376, texts_per_second=61.0, latency_seconds=0.0233),
            ModelCost(system="int8 naive", bytes=22_912_004, texts_per_second=134.9, latency_seconds=0.0102),
            ModelCost(system="int8 calibrated", bytes=24_641_112, texts_per_second=128.3, latency_seconds=0.0107),
        ),
        names=(Named(name="docs-search@champion", artifact=digest("calibrated"), system="int8 calibrated"),),
        examples=tuple(_EXAMPLES),
        lineage_nodes=tuple(Node(n, n, k, s, state) for n, k, s, state in _NODES),
        lineage_edges=_edges(),
        artifacts=tuple(
            Provenance(id=digest(n), kind=k, bytes=5_000_000 + 1_234_567 * i, made_by="data.clean", name=n)
            for i, (n, k, _, _) in enumerate(_NODES)
        ),
        sample_row="3f9c2a71be0d4c58",
    )  # fmt: skip
