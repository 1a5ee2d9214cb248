"""Translations: BLEU, chrF and TER, as sacreBLEU computes them, from files of WMT or plain text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import MinLen

from loomwork.core.artifact import digest
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.ranges import Level, Seed
from loomwork.core.score import Direction, write_scores
from loomwork.core.step import Card, step
from loomwork.evals._files import digest_of, read_lines
from loomwork.evals._mean_score import Provenance, sums_score
from loomwork.evals._predictions import UNKNOWN, count_notes, referenced
from loomwork.evals._sums import with_sums

MetricName = Literal["bleu", "chrf", "ter"]
CJK = ("\u3040", "\u9fff")  # kana and Han: texts without spaces between words
UNSPACED = 0.3  # share of such letters from which words by spaces make no sense


@step(makes="scores", uses=["numpy", "pyarrow", "scipy", "sacrebleu"])
def translation(
    rows: Dataset | None = None,
    *,
    predictions: Path | None = None,
    references: Path | list[Path] | None = None,
    metrics: Annotated[list[MetricName], MinLen(1)] = ["bleu", "chrf"],  # noqa: B006
    tokenize: Literal["13a", "intl", "zh", "char", "none"] = "13a",
    lowercase: bool = False,
    chrf_word_order: Literal[0, 2] = 0,
    system: str = "",
    translator: str = "",
    documents: Path | None = None,
    prediction: str = "prediction",
    reference: str = "reference",
    cluster: str = "",
    level: Level = 0.95,
    seed: Seed = 0,
    out: Path,
) -> Card:
    """Score translations of a test set against one reference or more; the unit of each score is its signature.

    Segments of one document are one draw of the intervals, where the files say what the documents are. What is empty
    is scored as sacreBLEU does, and counted.

    Args:
        rows: instead of files, a dataset with a translation and its reference(s) in each row.
        predictions: the system's translations: one a line, or SGML (.sgm), or WMT's XML (.xml).
        references: one file or several, of the same kinds; an XML file may hold several references.
        metrics: bleu, chrf, ter; ter takes many times as long as the others.
        tokenize: for BLEU; zh for Chinese, char for Japanese, none for what is tokenised already.
        lowercase: ignore case in bleu and chrf; ter always does.
        chrf_word_order: 2 makes chrF++.
        system: which system's output, where an XML file has several.
        translator: which reference, where an XML file has several; by default all of them.
        documents: for plain text, the name of each line's document, one a line.
        prediction: for rows, the column of translations.
        reference: for rows, the column of references: a text or a list of texts.
        cluster: for rows, a column; rows that agree in it are one draw.
        level: of the intervals.
        seed: of the bootstrap.

    Raises:
        InputError: the files do not have as many segments, or a file is not of its format.
        MissingDependency: sacrebleu is not installed.

    Source: Post (2018), A call for clarity in reporting BLEU scores.
    """
    import pyarrow as pa

    from loomwork.metrics import translation as metric

    if len(set(metrics)) < len(metrics):
        raise InputError(f"metrics is {metrics}: name each metric once", "bleu, chrf, ter")
    ids: Any
    if rows is None:
        said, wanted, ids, labels, sources = _from_files(predictions, references, system, translator, documents)
        unit = "document" if labels else "segment"
        listed = references if isinstance(references, list) else [references]
        stated = digest_of(*(p for p in listed if p)), digest_of(predictions or Path())
    else:
        if predictions or references:
            raise InputError("give either predictions and references, or rows")
        said, own, labels = referenced(rows, prediction, reference, cluster)
        wanted = _sides(own)
        ids, unit = rows.table(["row_id"]).column("row_id").combine_chunks(), cluster or "segment"
        sources = None  # the rows have what else there is to know
        stated = rows.digest, "none"
    if labels is not None and len(set(labels)) < 2:
        labels, unit = None, "segment"  # of one document only: there the segments are all that can be drawn

    scores, columns, summed, notes, signatures = [], {}, {}, [], {}
    settings = {
        "tokenize": tokenize,
        "lowercase": lowercase,
        "chrf_word_order": chrf_word_order,
        "references": len(wanted),
    }
    given = Provenance(
        data=stated[0],
        model=stated[1],
        settings=digest(settings),
        cluster_unit=unit,
        clusters=labels,
        contamination="unknown",
        note=UNKNOWN,
        level=level,
        seed=seed,
    )
    for done, name in enumerate(metrics):
        made = metric.make_metric(name, tokenize=tokenize, lowercase=lowercase, word_order=chrf_word_order)
        sums = metric.segment_statistics(made, said, wanted)
        signatures[name] = metric.signature(made)
        direction: Direction = "lower is better" if name == "ter" else "higher is better"
        statistic = metric.metric_of(name)
        most = max(100.0, float(statistic(sums).max()))  # TER can be above 100; not above that of every segment
        if name == "ter" and sums[:, 1].any() and (sums[sums[:, 1] == 0, 0] > 0).any():
            most = math.inf  # but for edits of an empty reference, which has no words to be divided by
        scores.append(sums_score(name, sums, statistic, signatures[name], direction, given, (0.0, most)))
        summed[name] = sums
        if name != "bleu":  # of a single sentence BLEU says little
            columns[f"sentence_{name}"] = pa.array(statistic(sums), pa.float64())
        context().progress(done + 1, len(metrics), "metrics")

    empty = {
        "translations are empty": sum(not text.strip() for text in said),
        "references are empty": sum(not text.strip() for texts in wanted for text in texts),
    }
    notes += count_notes(empty)
    if "bleu" in metrics and tokenize in ("13a", "intl") and _unspaced(wanted[0]):
        notes.append("the references have no spaces between words: for BLEU say tokenize=zh, or tokenize=char")
    notes += [f"{name}: {text}" for name, text in signatures.items()]
    items = pa.table(
        {
            "row_id": ids,
            "cluster": pa.array(labels if labels is not None else [None] * len(said), pa.string()),
            **columns,
            **({"source": pa.array(sources, pa.string())} if sources else {}),
            "prediction": pa.array(said, pa.string()),
            "references": pa.array([list(texts) for texts in zip(*wanted, strict=True)], pa.list_(pa.string())),
        }
    )
    for name, sums in summed.items():
        items = with_sums(items, name, sums, metric.metric_of(name))
    write_scores(out, scores, items, {"settings": settings, "signatures": signatures})
    counts = {"segments": len(said), "references": len(wanted)}
    counts |= {f"empty_{what.partition(' ')[0]}": count for what, count in empty.items()}
    return Card(metrics={n: float(v) for n, v in counts.items()}, scores=scores, notes=notes)


def _sides(own: list[list[str]]) -> list[list[str]]:
    """The segments of each reference, as sacreBLEU takes them, from the references of each segment.

    Raises:
        InputError: they are not as many.
    """
    other = next((i for i, texts in enumerate(own) if len(texts) != len(own[0])), None)
    if other is not None:
        raise InputError(
            f"row {other} has {len(own[other])} references and row 0 has {len(own[0])}",
            "translations need as many of each row: leave out those that only some have",
        )
    return [list(one) for one in zip(*own, strict=True)]


def _from_files(
    predictions: Path | None,
    references: Path | list[Path] | None,
    system: str,
    translator: str,
    documents: Path | None,
) -> tuple[list[str], list[list[str]], Any, list[str] | None, list[str] | None]:
    """Translations, the segments of each reference, ids, and the document and the source of each segment."""
    import pyarrow as pa

    from loomwork.evals._translation_files import read_hypotheses, read_references

    paths = references if isinstance(references, list) else [references] if references else []
    if predictions is None or not paths:
        raise InputError("give predictions and references, or rows", "as in predictions=hyp.en references=ref.en")
    said, wanted = read_hypotheses(predictions, system), read_references(paths, translator)
    for i, other in enumerate(wanted):
        if len(other.texts) != len(said.texts):
            raise InputError(
                f"{predictions} has {len(said.texts)} segments and reference {i + 1} has {len(other.texts)}",
                "each line, or <seg>, of one must be that of the other",
            )
        if said.ids and other.ids and said.ids != other.ids:
            place = next(k for k, pair in enumerate(zip(said.ids, other.ids, strict=True)) if pair[0] != pair[1])
            raise InputError(
                f"segment {place + 1} is {said.ids[place]} in {predictions}, {other.ids[place]} in reference {i + 1}",
                "both files need the same documents in the same order",
            )
    if len(said.texts) < 2:
        raise InputError(f"{predictions} has {len(said.texts)} segment: at least two are needed for an interval")
    named = [s for s in (said, *wanted) if s.ids]
    labels = named[0].documents if named else None
    if documents is not None:
        labels = read_lines(documents)
        if len(labels) != len(said.texts):
            raise InputError(f"{documents} has {len(labels)} lines for {len(said.texts)} segments")
    ids = (named[0].ids if named else None) or [str(i + 1) for i in range(len(said.texts))]
    sources = next((s.sources for s in named if s.sources), None)
    return said.texts, [s.texts for s in wanted], pa.array(ids, pa.string()), labels, sources


def _unspaced(texts: list[str]) -> bool:
    letters = [c for text in texts[:200] for c in text if c.isalpha()]
    return bool(letters) and sum(CJK[0] <= c <= CJK[1] for c in letters) > UNSPACED * len(letters)
