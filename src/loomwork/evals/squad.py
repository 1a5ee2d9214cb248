"""SQuAD 1.1, SQuAD 2.0 and XQuAD from their official files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loomwork.core.artifact import digest
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.ranges import Level, Seed
from loomwork.core.score import Score, write_scores
from loomwork.core.step import Card, step
from loomwork.evals._files import digest_of, read_json
from loomwork.evals._mean_score import Provenance, mean_score
from loomwork.evals._predictions import UNKNOWN, count_notes, either_files_or_rows

if TYPE_CHECKING:
    import numpy as np

UNITS = ("article", "paragraph", "question")


@dataclass(frozen=True)
class _Question:
    id: str | bytes
    question: str
    answers: tuple[str, ...]  # none: it has no answer in the text
    article: str
    paragraph: str
    title: str = ""


@step(makes="scores", uses=["numpy", "pyarrow", "scipy"])
def squad(
    rows: Dataset | None = None,
    *,
    data: Path | None = None,
    predictions: Path | None = None,
    cluster: str = "",
    prediction: str = "prediction",
    answers: str = "answers",
    level: Level = 0.95,
    seed: Seed = 0,
    out: Path,
) -> Card:
    """Score extracted answers: exact match and F1 in percent, as the official scripts of SQuAD 1.1 and 2.0 do.

    A question without answers, or the version v2.0, makes the data 2.0: an empty prediction is then right where there
    is no answer, and questions with and without answers have scores of their own. A question without a prediction
    scores 0 (the script of 2.0 refuses such a file), and is counted. Predictions for unknown ids are counted and left
    out.

    Args:
        rows: instead of files, a dataset with a prediction and its right answers in each row.
        data: the official file, such as dev-v1.1.json or xquad.de.json.
        predictions: a JSON file that maps each question's id to an answer.
        cluster: what is not independent: article (the default for files), paragraph or question; for rows a column.
        prediction: for rows, the column of predictions; null counts as missing.
        answers: for rows, the column of right answers: a text, a list of texts, or {text: [...]}; none: no answer.
        level: of the intervals.
        seed: of the bootstrap.

    Raises:
        InputError: a file is not of its format, the data is empty, or there are fewer than two clusters.

    Source: evaluate-v1.1.py and evaluate-v2.0.py; Rajpurkar et al. (2016), arXiv 1606.05250, and (2018), 1806.03822.
    """
    import numpy as np
    import pyarrow as pa

    from loomwork.metrics.answers import best_match, normalised

    data, predictions = either_files_or_rows(rows, data=data, predictions=predictions)
    if rows is None:
        questions, repeated_data, declared = _read(data)
        given, repeated = _read_predictions(predictions)
        cluster = cluster or "article"
        if cluster not in UNITS:
            raise InputError(f"cluster is {cluster!r}", did_you_mean(cluster, UNITS))
        labels = _labels(questions, cluster)
        stated = (digest_of(data), digest_of(predictions))
        found = [given.get(str(q.id)) for q in questions]
        unknown = len(set(given) - {str(q.id) for q in questions})
    else:
        questions, found, labels = _from_rows(rows, prediction, answers, cluster)
        stated, unknown, repeated, repeated_data, declared = (rows.digest, "none"), 0, 0, 0, ""

    version = "2.0" if declared.startswith("v2") or any(not q.answers for q in questions) else "1.1"
    clean = normalised([text or "" for text in found])
    # What is nothing once it is normalised is no answer in 2.0.
    right, empty = _normalised_answers(questions, normalised, drop_empty=version == "2.0")
    matches = np.zeros((len(questions), 2))
    for i, (text, wanted) in enumerate(zip(clean, right, strict=True)):
        if found[i] is not None:
            matches[i] = best_match(text, wanted, empty_counts=version == "2.0")
    matches *= 100

    settings = {"metric": "squad", "version": version}
    provenance = Provenance(
        data=stated[0],
        model=stated[1],
        settings=digest(settings),
        cluster_unit=cluster or "question",
        clusters=labels,
        contamination="unknown",
        note=UNKNOWN,
        level=level,
        seed=seed,
    )
    has = np.array([bool(q.answers) for q in questions])
    scores, columns, notes = _scores(matches, has, version, provenance)
    items = {
        "row_id": pa.array([q.id for q in questions], pa.binary(16) if rows is not None else pa.string()),
        "cluster": pa.array(labels if labels is not None else [None] * len(questions), pa.string()),
        **{name: pa.array(values, from_pandas=True) for name, values in columns.items()},
        **({"article": pa.array([q.title for q in questions], pa.string())} if rows is None else {}),
        "question": pa.array([q.question for q in questions], pa.string()),
        "prediction": pa.array(found, pa.string()),
        "answers": pa.array([list(q.answers) for q in questions], pa.list_(pa.string())),
    }
    write_scores(out, scores, pa.table(items), {"settings": settings})
    missing = sum(text is None for text in found)
    counts = {
        "questions without a prediction, which score 0": missing,
        "predictions for unknown ids, left out": unknown,
        "ids that stand twice in the predictions, the last one taken": repeated,
        "ids that stand twice in the data": repeated_data,
        "right answers are nothing once punctuation and articles are left out": empty,
    }
    metrics = {
        "questions": len(questions),
        "missing_predictions": missing,
        "unknown_ids": unknown,
        "repeated_ids": repeated + repeated_data,
        "empty_answers": empty,
    }
    notes = [f"SQuAD {version} rules", *count_notes(counts), *notes]
    return Card(metrics={n: float(v) for n, v in metrics.items()}, scores=scores, notes=notes)


def _scores(
    matches: np.ndarray, has: np.ndarray, version: str, given: Provenance
) -> tuple[list[Score], dict[str, np.ndarray], list[str]]:
    """The scores, their columns of items (NaN: not of this score), and what could not be scored."""
    import numpy as np

    everything = np.ones(len(has), dtype=bool)
    wanted = [("exact_match", 0, everything), ("f1", 1, everything)]
    if version == "2.0":  # without an answer F1 is exact match
        wanted += [("HasAns_exact_match", 0, has), ("HasAns_f1", 1, has), ("NoAns_exact_match", 0, ~has)]
    scores, columns, notes = [], {}, []
    for name, kind, mask in wanted:
        part = given.only(mask)
        if part.units(int(mask.sum())) < 2:
            notes.append(f"{name} is left out: its questions are of fewer than two {part.cluster_unit}s")
            continue
        columns[name] = np.where(mask, matches[:, kind], np.nan)
        scores.append(
            mean_score(name, matches[mask, kind], "percent of questions", "higher is better", part, (0.0, 100.0))
        )
    if not scores:
        raise InputError(
            f"all questions are of one {given.cluster_unit}: at least two are needed for an interval",
            "say cluster=paragraph or cluster=question",
        )
    return scores, columns, notes


def _normalised_answers(
    questions: Sequence[_Question], normalised: Any, *, drop_empty: bool
) -> tuple[list[tuple[str, ...]], int]:
    """The answers of each question, at least one; and how many of all are empty."""
    every = normalised([a for q in questions for a in q.answers])
    flat, found = iter(every), []
    for question in questions:
        own = tuple(next(flat) for _ in question.answers)
        kept = tuple(a for a in own if a) if drop_empty else own
        found.append(kept or ("",))
    return found, sum(not text for text in every)


def _labels(questions: Sequence[_Question], cluster: str) -> list[str] | None:
    return None if cluster == "question" else [getattr(q, cluster) for q in questions]


def _read(path: Path) -> tuple[list[_Question], int, str]:
    """The questions of an official file, how many of their ids stand twice, and the version that it declares."""
    content, _ = read_json(path)
    hint = 'it looks like {"version": ..., "data": [{"title": ..., "paragraphs": [{"qas": [...]}]}]}'
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        raise InputError(f'{path} is no SQuAD file: it has no list "data"', hint)
    questions = []
    place = ""
    try:
        for a, article in enumerate(content["data"]):
            for p, paragraph in enumerate(article["paragraphs"]):
                for q, asked in enumerate(paragraph["qas"]):
                    place = f"data[{a}].paragraphs[{p}].qas[{q}]"
                    texts = tuple(str(answer["text"]) for answer in asked["answers"])
                    title = str(article.get("title") or a)
                    # Two articles may have one title: the number tells them apart.
                    names = (f"{a}: {title}", f"{a}.{p}: {title}")
                    questions.append(_Question(str(asked["id"]), str(asked.get("question", "")), texts, *names, title))
    except (KeyError, TypeError, AttributeError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else f"is not as expected: {error}"
        raise InputError(f"{path} is no SQuAD file: what is at or after {place or 'data[0]'} {what}", hint) from None
    if not questions:
        raise InputError(f"{path} has no questions")
    return questions, len(questions) - len({q.id for q in questions}), str(content.get("version", ""))


def _read_predictions(path: Path) -> tuple[dict[str, str | None], int]:
    content, repeated = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} must map ids to answers", 'as in {"56be4db0acb8001400a502ec": "Denver Broncos", ...}')
    for name, text in content.items():
        if text is not None and not isinstance(text, str):
            raise InputError(f"{path}: the answer to {name} is {str(text)[:60]!r}, not a text")
    return content, repeated


def _from_rows(
    rows: Dataset, prediction: str, answers: str, cluster: str
) -> tuple[list[_Question], list[str | None], list[str] | None]:
    rows.require(prediction, answers, *([cluster] if cluster else []))
    rows.require_rows()
    asked = ["question"] if "question" in rows.schema.names else []
    questions, found, labels = [], [], []
    for i, row in enumerate(
        rows.rows(list(dict.fromkeys(["row_id", prediction, answers, *asked, cluster or "row_id"])))
    ):
        right = row[answers]
        right = right.get("text") if isinstance(right, dict) else right
        right = [right] if isinstance(right, str) else right or []
        if not all(isinstance(text, str) for text in [*right, row[prediction] or ""]):
            raise InputError(f"row {i}: {prediction!r} and {answers!r} must be texts", f"found {row[answers]!r:.80}")
        label = str(row[cluster]) if cluster else ""
        questions.append(_Question(row["row_id"], str(row.get("question") or ""), tuple(right), label, label))
        found.append(row[prediction])
        labels.append(label)
    return questions, found, labels if cluster else None
