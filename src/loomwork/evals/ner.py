"""Named entities in CoNLL files: precision, recall and F1 of entities, as conlleval prints them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from loomwork.core.artifact import digest
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.ranges import Level, Seed
from loomwork.core.score import Score, write_scores
from loomwork.core.step import Card, step
from loomwork.evals._files import digest_of, read_lines
from loomwork.evals._mean_score import Provenance, sums_score
from loomwork.evals._predictions import UNKNOWN, count_notes
from loomwork.evals._sums import with_sums

if TYPE_CHECKING:
    import numpy as np

    from loomwork.stats.sums import Statistic

DOCUMENT = "-DOCSTART-"
OVER = {"precision": "entities found", "recall": "entities", "f1": "entities, F1"}


@dataclass
class _Tagged:
    """Sentences of tokens with tags, and the document that each is of."""

    tokens: list[list[str]] = field(default_factory=list)
    tags: list[list[str]] = field(default_factory=list)
    said: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)  # where each sentence begins
    documents: list[str] = field(default_factory=list)


@step(makes="scores", uses=["numpy", "pyarrow", "scipy"])
def ner(
    rows: Dataset | None = None,
    *,
    data: Path | None = None,
    predictions: Path | None = None,
    scheme: Literal["conlleval", "IOB1", "IOB2", "BIOES"] = "conlleval",
    tags: str = "tags",
    prediction: str = "prediction",
    cluster: str = "",
    level: Level = 0.95,
    seed: Seed = 0,
    out: Path,
) -> Card:
    """Score tagged entities in percent: an entity is right where its tokens and its type are.

    Scores: precision, recall, f1, the accuracy of tags, and "f1: TYPE" for each type. Items are sentences.

    Args:
        rows: instead of files, a dataset with a list of tags and a list of predicted tags in each row.
        data: lines of a token and its tag in the last column, an empty line after each sentence.
        predictions: the same sentences with predicted tags; without it the last two columns of `data` are the right
            tag and the predicted one, as conlleval reads them.
        scheme: conlleval reads IOB1, IOB2 and BIOES alike and is lenient; the others count well-formed entities only.
        tags: for rows, the column of right tags.
        prediction: for rows, the column of predicted tags.
        cluster: "" takes sentences as independent; "document" the documents between -DOCSTART- lines, which are no
            sentences themselves; for rows a column.
        level: of the intervals.
        seed: of the bootstrap.

    Raises:
        InputError: the two do not have the same sentences, or something is no tag.

    Source: conlleval of the CoNLL-2000 to 2003 shared tasks; Derczynski et al. (2017) for WNUT-17.
    """
    import numpy as np
    import pyarrow as pa

    from loomwork.metrics import entities as metric
    from loomwork.metrics.classification import f1_of_share

    if (rows is None) == (data is None):
        raise InputError("give either data and predictions, or rows", "as in data=test.conll predictions=tagged.conll")
    counts: dict[str, int] = {}
    ids: Any
    if rows is None:
        assert data is not None
        read, differ = _from_files(data, predictions)
        counts["tokens differ from the data's, and are compared by their place"] = differ
        ids = pa.array([str(i) for i in range(len(read.tags))], pa.string())
        if cluster not in ("", "document"):
            raise InputError(f"cluster is {cluster!r}", "for files it is document, or nothing")
        stated = digest_of(data), digest_of(predictions or data)
    else:
        read = _from_rows(rows, tags, prediction, cluster)
        ids = rows.table(["row_id"]).column("row_id").combine_chunks()
        stated = rows.digest, "none"
    if cluster and len(set(read.documents)) < 2:
        raise InputError(f"all sentences are of one {cluster}: at least two are needed", "leave cluster out")
    lengths = np.array([len(sentence) for sentence in read.tags])
    starts = np.zeros(int(lengths.sum()), dtype=bool)
    starts[np.cumsum(lengths) - lengths] = True
    types: dict[str, int] = {}
    found = []
    for sentences in (read.tags, read.said):
        codes = metric.tag_codes([tag for sentence in sentences for tag in sentence], types)
        found.append(metric.entities(*codes, starts, scheme))
    per = metric.entity_counts(found[0], found[1], starts, max(1, len(types))).astype(np.float64)
    total = per.sum(axis=1)  # (sentences, 3)
    right = [sum(a == b for a, b in zip(g, s, strict=True)) for g, s in zip(read.tags, read.said, strict=True)]
    if not total[:, 2].any():
        raise InputError("the data has no entities: there is nothing to score", "is the tag the last column?")

    settings = {"metric": "entities", "scheme": scheme}
    given = Provenance(
        data=stated[0],
        model=stated[1],
        settings=digest(settings),
        cluster_unit=cluster or "sentence",
        clusters=read.documents if cluster else None,
        contamination="unknown",
        note=UNKNOWN,
        level=level,
        seed=seed,
    )
    measures: dict[str, Statistic] = {"precision": metric.precision, "recall": metric.recall, "f1": metric.f1}

    def score(name: str, sums: np.ndarray, measure: Statistic, unit: str) -> Score:
        hits, found, wanted = sums.T
        decisions = {"precision": found, "recall": wanted, "accuracy": wanted}.get(name, found + wanted - hits)
        of_share = f1_of_share if measure is metric.f1 else None
        return sums_score(
            name, sums, lambda s: 100 * measure(s), unit, "higher is better", given, (0.0, 100.0), decisions, of_share
        )

    scores = [score(name, total, m, f"percent of {OVER[name]}") for name, m in measures.items()]
    tokens = np.stack([np.array(right), lengths, lengths], axis=1).astype(np.float64)
    scores.append(score("accuracy", tokens, metric.precision, "percent of tokens"))
    if len(types) > 1:
        unit = "percent, F1 of entities of one type"
        scores += [score(f"f1: {kind}", per[:, i], metric.f1, unit) for kind, i in sorted(types.items())]
    counted = {"hits": 0, "found": 1, "wanted": 2}
    items = {
        "row_id": ids,
        "cluster": pa.array(read.documents if cluster else [None] * len(lengths), pa.string()),
        **{name: pa.array(total[:, i].astype(np.int64)) for name, i in counted.items()},
        "tokens_right": pa.array(right, pa.int64()),
        "tokens": pa.array(read.tokens, pa.list_(pa.string())),
        "tags": pa.array(read.tags, pa.list_(pa.string())),
        "prediction": pa.array(read.said, pa.list_(pa.string())),
    }
    by_type = {
        kind or "entity": {n: int(per[:, i, place].sum()) for n, place in counted.items()}
        | {n: round(100 * float(m(per[:, i].sum(axis=0))), 4) for n, m in measures.items()}
        for kind, i in sorted(types.items())
    }
    table = pa.table(items)
    for name, measure in measures.items():
        table = with_sums(table, name, total, measure, scale=100)
    write_scores(out, scores, table, {"settings": settings, "types": by_type})
    metrics = {"sentences": len(lengths), "tokens": int(lengths.sum()), "entities": int(total[:, 2].sum())}
    return Card(metrics={n: float(v) for n, v in metrics.items()}, scores=scores, notes=count_notes(counts))


def _from_files(data: Path, predictions: Path | None) -> tuple[_Tagged, int]:
    """The sentences with right and predicted tags, and how many tokens differ."""
    gold = _read(data, both=predictions is None)
    if predictions is None:
        return gold, 0
    other = _read(predictions, both=False)
    for i, (ours, theirs) in enumerate(zip(gold.tags, other.tags, strict=False)):
        if len(ours) != len(theirs):
            raise InputError(
                f"sentence {i + 1} has {len(ours)} tokens in {data} (line {gold.lines[i]}) and {len(theirs)} in "
                f"{predictions} (line {other.lines[i]})",
                "both files need the same tokens in the same order, with an empty line after each sentence",
            )
    if len(gold.tags) != len(other.tags):
        raise InputError(
            f"{data} has {len(gold.tags)} sentences and {predictions} has {len(other.tags)}",
            "was the file copied whole?",
        )
    gold.said = other.tags
    pairs = zip(gold.tokens, other.tokens, strict=True)
    return gold, sum(a != b for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True))


def _read(path: Path, *, both: bool) -> _Tagged:
    """The sentences of a file; with `both`, the right tag is the last column but one."""
    found, document, inside = _Tagged(), 0, False
    needed = 3 if both else 2
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            inside = False
            continue
        pieces = line.split("\t") if "\t" in line else line.split()
        if pieces[0] == DOCUMENT:
            document, inside = document + 1, False
            continue
        if len(pieces) < needed:
            raise InputError(f"{path}, line {number}: {len(pieces)} columns where {needed} are needed: {line[:60]!r}")
        _check(pieces[1 - needed :], f"{path}, line {number}")
        if not inside:
            inside = True
            found.lines.append(number)
            found.documents.append(str(document))
            for part in (found.tokens, found.tags, found.said):
                part.append([])
        found.tokens[-1].append(pieces[0])
        found.tags[-1].append(pieces[1 - needed].strip())
        if both:
            found.said[-1].append(pieces[-1].strip())
    if len(found.tags) < 2:
        raise InputError(
            f"{path} has {len(found.tags)} sentence: at least two are needed for an interval",
            "an empty line ends a sentence",
        )
    return found


def _from_rows(rows: Dataset, tags: str, prediction: str, cluster: str) -> _Tagged:
    rows.require(tags, prediction, *([cluster] if cluster else []))
    rows.require_rows()
    found = _Tagged()
    words = ["tokens"] if "tokens" in rows.schema.names else []
    for i, row in enumerate(
        rows.rows(list(dict.fromkeys([tags, prediction, *words, *([cluster] if cluster else [])])))
    ):
        ours, theirs = row[tags], row[prediction]
        if not isinstance(ours, list) or not isinstance(theirs, list) or len(ours) != len(theirs) or not ours:
            sizes = [len(v) if isinstance(v, list) else "no list" for v in (ours, theirs)]
            raise InputError(
                f"row {i}: {tags!r} and {prediction!r} must be lists of as many tags, not {sizes[0]} and {sizes[1]}"
            )
        _check([*ours, *theirs], f"row {i}")
        found.tags.append(ours)
        found.said.append(theirs)
        found.tokens.append(row.get("tokens") or [])
        found.documents.append(str(row[cluster]) if cluster else "")
    if len(found.tags) < 2:
        raise InputError("one sentence gives no interval", "score at least two")
    return found


def _check(tags: Sequence[Any], place: str) -> None:
    from loomwork.metrics.entities import TAG

    for tag in tags:
        if not isinstance(tag, str) or not TAG.fullmatch(tag.strip()):
            raise InputError(f"{place}: {tag!r} is no tag", "a tag is O, or B, I, E or S with a type, as in B-person")
