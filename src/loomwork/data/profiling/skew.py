"""What a reader should look at first, in words. Every limit stands here, with its unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loomwork.report.numbers import SPACE, count, plain
from loomwork.stats.concentration import imbalance

ONE_GROUP = 0.5  # of the rows in one source
MINOR_LANGUAGE = 0.02  # of the texts in other languages than the main one
EMPTY = 0.001  # of the texts
EXACT = 0.01  # of the texts are copies of earlier ones
NEAR = 0.02  # of the sampled texts
UNEVEN = 10.0  # the largest class by the smallest
SMALL_CLASS = 10  # rows of a class
LONG_TAIL = 20.0  # the 95th percentile of the length by the median
DAMAGED = 0.001  # of the texts with U+FFFD
GOPHER = 0.25  # of the sampled texts outside of Gopher's limits, where most texts are English
GOPHER_WORDS = 50  # of the median text; the limits are for documents, not for messages or sentences
NULLS = 0.05  # of a column
UNKNOWN = 0.001  # of the tokens
UNEQUAL_LANGUAGES = 2.0  # tokens to a character, the dearest language by the cheapest
CLUSTER = 0.5  # of the texts in one of the clusters
GROUP_RATIO = 2.0  # of the words of two groups of people
GROUP_WORDS = 50  # of an axis, before a ratio is worth saying
PERSONAL = 0.0  # any at all


def warnings(report: dict[str, Any]) -> list[dict[str, str]]:
    """{"about", "text"} of all that passes its limit, in the order of the page."""
    found = [*_texts(report), *_groups(report), *_sampled(report), *_target(report), *_tokenizers(report)]
    return [{"about": about, "text": text} for about, text in [*found, *_columns(report)]]


def percent(share: float) -> str:
    """61 %, 0.4 %, < 0.1 %."""
    if 0 < share < 0.001:
        return f"<{SPACE}0.1{SPACE}%"
    if 0.999 < share < 1:
        return f">{SPACE}99.9{SPACE}%"
    digits = 1 if 0 < share < 0.1 or 0.99 < share < 1 else 0
    return f"{100 * share:.{digits}f}{SPACE}%"


def _texts(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    text = report.get("text")
    if not text:
        if report["roles"]["text"]:
            yield "Empty", "Every text is empty."
        return
    rows = report["rows"]
    if text["empty"] > EMPTY * rows:
        yield "Empty texts", f"{percent(text['empty'] / rows)} of the rows ({plain(text['empty'])}) have no text."
    if text["damaged"] > DAMAGED * rows:
        told = f"{count(text['damaged'], 'text')} ({percent(text['damaged'] / rows)})"
        yield "Encoding", f"{told} with the character U+FFFD: bytes that were read in the wrong encoding."
    lengths = text["characters"]["quantiles"]
    if lengths["0.95"] > LONG_TAIL * max(1, lengths["0.5"]):
        yield (
            "Lengths",
            f"One text in twenty has {plain(lengths['0.95'])} characters or more, where the median is "
            f"{plain(lengths['0.5'])}: a few long texts weigh most in characters and tokens.",
        )
    if text["exact_duplicates"]["share"] > EXACT:
        yield "Exact duplicates", f"{percent(text['exact_duplicates']['share'])} of the texts are copies of others."


def _groups(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    rows, groups = report["rows"], report["groups"]
    sources = groups.get("source", {})
    if len(sources) > 1:
        name, (n, _) = next(iter(sources.items()))
        if n > ONE_GROUP * rows:
            yield "One source", f"{percent(n / rows)} of the rows come from one source, {name or 'unnamed'}."
        total = sum(c for _, c in sources.values())
        heavy = max(sources, key=lambda s: (sources[s][1], s))
        if total and sources[heavy][1] > ONE_GROUP * total and (heavy != name or n <= ONE_GROUP * rows):
            share = sources[heavy][1] / total
            yield "One source", f"{percent(share)} of the characters come from one source, {heavy or 'unnamed'}."
    labels = {name: n for name, (n, _) in groups.get("label", {}).items() if name}
    if len(labels) > 1:
        ratio = imbalance(list(labels.values()))
        if ratio > UNEVEN:
            most, least = max(labels, key=lambda k: labels[k]), min(labels, key=lambda k: labels[k])
            yield (
                "Labels",
                f"The class {most} has {plain(round(ratio, 1))} times as many rows as {least} "
                f"({plain(labels[most])} and {plain(labels[least])}).",
            )
        small = [name for name, n in labels.items() if n < SMALL_CLASS]
        if small:
            yield "Labels", f"{len(small)} class{'es' if len(small) > 1 else ''} with under {SMALL_CLASS} rows."
    if "" in groups.get("label", {}):
        yield "Labels", f"{count(groups['label'][''][0], 'row')} without a label."


def _sampled(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    sampled = report.get("sampled")
    if not sampled:
        return
    languages = report["groups"].get("language") or sampled.get("languages") or {}
    named = {name: n for name, (n, _) in languages.items() if name and name not in ("und", "zxx")}
    if len(named) > 1:
        total, main = sum(named.values()), max(named, key=lambda k: named[k])
        if total - named[main] > MINOR_LANGUAGE * total:
            share = percent(1 - named[main] / total)
            known = "" if report["groups"].get("language") else " (as identified, which errs on short texts)"
            yield "Languages", f"{share} of the texts are not in {main}, the main language{known}."
    near = sampled["near_duplicates"]
    if near["share"] > NEAR:
        part = "texts" if sampled["all"] else "sampled texts"
        yield "Near-duplicates", f"{percent(near['share'])} of the {part} are near-duplicates of others."
    english = named.get("en", 0) > 0.5 * max(1, sum(named.values()))
    quality = sampled["quality"]
    long = report["text"]["words"]["quantiles"]["0.5"] >= GOPHER_WORDS
    if english and long and quality["outside"] > GOPHER * quality["texts"]:
        worst = max(quality["quantities"], key=lambda q: q["outside"])
        yield (
            "Quality",
            f"{percent(quality['outside'] / quality['texts'])} of the texts lie outside of Gopher's limits for web "
            f"text, most of them by {worst['name']}.",
        )
    personal = sampled.get("personal")
    if personal and personal["with_any"] > PERSONAL * personal["texts"]:
        kinds = ", ".join(f"{k['kind']} {plain(k['texts'])}" for k in personal["kinds"][:3])
        share = percent(personal["with_any"] / personal["texts"])
        yield "Personal data", f"{share} of the texts hold what looks like personal data or secrets ({kinds})."
    clusters = sampled["variety"]["clusters"]
    if clusters and clusters["clusters"][0]["share"] > CLUSTER:
        first = clusters["clusters"][0]
        words = ", ".join(first["words"][:4])
        yield "Topics", f"{percent(first['share'])} of the texts lie in one of {clusters['k']} clusters ({words})."
    for axis in (sampled["people"] or {}).get("axes", []):
        yield from _people(axis)


def _people(axis: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Of two groups, a ratio that its interval too puts beyond the limit; axes of more groups are not judged."""
    if len(axis["groups"]) != 2 or axis["words"] < GROUP_WORDS:
        return
    less, more = sorted(axis["groups"], key=lambda g: g["share"])
    if more["low"] / max(1 - more["low"], 1e-9) > GROUP_RATIO:
        times = f"{more['count'] / less['count']:.1f} times as often as" if less["count"] else "and never"
        yield (
            "Words for people",
            f"Words for {more['group']} people stand {times} words for {less['group']} people "
            f"({plain(more['count'])} and {plain(less['count'])}).",
        )


def _target(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    target = report.get("target")
    if target and target["auc"]["low"] > 0.5:
        auc = target["auc"]
        yield (
            "Unlike the target",
            f"A classifier tells data from target with AUC {auc['value']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]; "
            "0.5 would be alike.",
        )


def _tokenizers(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for one in report.get("tokenizers", []):
        name, whole = one["name"], one["all"]
        if whole["unknown"] > UNKNOWN:
            yield f"Tokenizer {name}", f"{percent(whole['unknown'])} of its tokens are unknown: their text is lost."
        costs = {r["group"]: r["per_character"]["value"] for r in one["languages"] if r["per_character"]}
        if len(costs) > 1:
            dear, cheap = max(costs, key=lambda k: costs[k]), min(costs, key=lambda k: costs[k])
            if costs[dear] > UNEQUAL_LANGUAGES * costs[cheap]:
                ratio = costs[dear] / costs[cheap]
                yield (
                    f"Tokenizer {name}",
                    f"A character of {dear} costs {ratio:.1f} times as many tokens as of {cheap}.",
                )


def _columns(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, column in report["columns"].items():
        if column["nulls"] > NULLS * column["rows"]:
            told = (
                "only nulls"
                if column["nulls"] == column["rows"]
                else f"{percent(column['nulls'] / column['rows'])} nulls"
            )
            yield f"Column {name}", f"It holds {told}."
        elif column.get("distinct") == 1 and column["rows"] > 1:
            yield f"Column {name}", "It has one value in all rows."
        if column.get("not_finite"):
            yield f"Column {name}", f"{plain(column['not_finite'])} values are not finite (NaN or infinite)."
