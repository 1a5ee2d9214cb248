"""Filters of generated answers, under the names and with the settings of lm-evaluation-harness.

A filter gets the answers to one document (one, or `repeats` of them) and gives back answers, or, as the take filters
do, fewer. Source: lm_eval/filters/{extraction,selection,transformation,custom}.py, 0.4.13.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from loomwork.core.errors import InputError, did_you_mean
from loomwork.evals.tasks.task import Pipeline, Row

Answers = Any  # a list of texts, or what an earlier filter has made of it
NUMBER = r"#### (\-?[0-9\.\,]+)"
INVALID = "[invalid]"
TAGGED = re.compile(r"\('([^']*)', '([^']*)'\)")
ENTITIES = re.compile(r"\b(PER|LOC|ORG|DATE):\s*([^$]+)")
LABELS = {
    **{"person": "PER", "location": "LOC", "organization": "ORG", "counties": "LOC", "places": "LOC", "people": "PER"},
    **{"persons": "PER", "company": "ORG", "country": "LOC", "continent": "LOC", "time": "DATE", "date": "DATE"},
    **{"per": "PER", "loc": "LOC", "org": "ORG"},
}


def apply(pipeline: Pipeline, answers: Sequence[Any], document: Row) -> Any:
    """What a pipeline makes of the answers to one document.

    A number that no match has counts as no match; lm-evaluation-harness ends with an IndexError there.

    Raises:
        InputError: there are fewer answers than a filter needs, or a filter cannot read this document.
    """
    made: Any = list(answers)
    for step in pipeline.steps:
        made = FILTERS[step.name](made, document, **step.settings)
    return made


def take_first(answers: Answers, document: Row) -> Any:
    return answers[0]


def take_first_k(answers: Answers, document: Row, *, k: int) -> Answers:
    if len(answers) < k:
        raise InputError(f"take_first_k takes {k} answers, and there are {len(answers)}", "set `repeats` of the task")
    return answers[:k]


def majority_vote(answers: Answers, document: Row) -> Answers:
    """The answer given most often; of several, the one given first."""
    return [Counter(answers).most_common(1)[0][0]]


def lowercase(answers: Answers, document: Row) -> Answers:
    return [a.lower() for a in answers]


def uppercase(answers: Answers, document: Row) -> Answers:
    return [a.upper() for a in answers]


def remove_whitespace(answers: Answers, document: Row) -> Answers:
    """Without white space at both ends."""
    return [a.strip() for a in answers]


def map_answers(answers: Answers, document: Row, *, mapping_dict: dict[Any, Any], default_value: Any = None) -> Answers:
    return [mapping_dict.get(a, default_value) for a in answers]


def regex(
    answers: Answers, document: Row, *, regex_pattern: str = NUMBER, group_select: int = 0, fallback: str = INVALID
) -> Answers:
    """The match with number `group_select` (-1 is the last); of several groups the first that is not empty."""
    pattern = _compiled(regex_pattern)

    def found(answer: Any) -> str:
        match = _pick(pattern, answer, group_select)
        return fallback if match is None else match

    return [found(a) for a in answers]


def multi_choice_regex(
    answers: Answers,
    document: Row,
    *,
    regex_pattern: str = NUMBER,
    group_select: int = 0,
    fallback: str = INVALID,
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    regexes_to_ignore: list[str] | None = None,
) -> Answers:
    """The letter of a choice as "(A)": by the pattern, else by the text of a choice, else by a letter after a colon."""
    if "choices" not in document:
        raise InputError("multi_choice_regex needs a column 'choices'", did_you_mean("choices", map(str, document)))

    def plain(text: str) -> str:
        for pattern in regexes_to_ignore or []:
            text = re.sub(pattern, "", text)
        text = text.lower() if ignore_case else text
        return text.translate(_punctuation()) if ignore_punctuation else text

    letters = {plain(c.strip()): f"({chr(ord('A') + i)})" for i, c in enumerate(document["choices"])}
    names = [chr(ord("A") + i) for i in range(len(document["choices"]))]
    # Longest first: "Guilty" must not be found inside "Guilty of Romance".
    texts = [plain(c.strip()) for c in document["choices"]]
    by_text = re.compile("|".join(sorted(map(re.escape, texts), key=len, reverse=True)))
    by_letter = re.compile(rf":[\s]*({'|'.join(names)})")

    def found(answer: Any) -> str:
        answer = answer if isinstance(answer, str) else ""
        if match := _pick(_compiled(regex_pattern), answer, group_select):
            return match
        if match := _pick(by_text, plain(answer), group_select):
            return letters.get(match, match)
        if match := _pick(by_letter, answer, group_select):
            return f"({match})" if match in names else match
        return fallback

    return [found(a) for a in answers]


def regex_pos(answers: Answers, document: Row, *, fallback: Any = None) -> Answers:
    """The tags of a text that lists ('word', 'TAG') pairs."""
    return [[tag for _, tag in TAGGED.findall(a)] or (["invalid"] if fallback is None else fallback) for a in answers]


def format_span(answers: Answers, document: Row) -> Answers:
    """Named entities as "per: x $ loc: y", from "PERSON: x $$ location: y" and the like."""

    def formatted(text: str) -> str:
        text = text.lower()
        for word, label in LABELS.items():
            text = re.sub(rf"\b{re.escape(word)}\s*:", f"{label}:", text)
        text = text.replace("$$", "$").rstrip("$").replace("\n", "$").strip()
        named = [(label, v.strip()) for label, values in ENTITIES.findall(text) for v in values.split(",")]
        return " $ ".join(f"{label.lower()}: {value}" for label, value in named if value.lower() != "none")

    return [formatted(a) for a in answers]


def custom(answers: Answers, document: Row, *, filter_fn: Callable[..., Any]) -> Answers:
    """A function of the task: it gets the answers to all documents and the documents, here one of each."""
    return next(iter(filter_fn([answers], [document])))


FILTERS: dict[str, Callable[..., Any]] = {
    "take_first": take_first,
    "take_first_k": take_first_k,
    "majority_vote": majority_vote,
    "lowercase": lowercase,
    "uppercase": uppercase,
    "remove_whitespace": remove_whitespace,
    "map": map_answers,
    "regex": regex,
    "multi_choice_regex": multi_choice_regex,
    "regex_pos": regex_pos,
    "format_span": format_span,
    "custom": custom,
}
TYPES: dict[str, type | tuple[type, ...]] = {
    "k": int,
    "group_select": int,
    "regex_pattern": str,
    "fallback": (str, list),
    "ignore_case": bool,
    "ignore_punctuation": bool,
    "regexes_to_ignore": list,
    "mapping_dict": dict,
}


def check_filter(name: str, settings: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """What is wrong with a filter's settings: the key, what, and a hint; None where nothing is."""
    parameters = inspect.signature(FILTERS[name]).parameters
    known = {n: p for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    for key, value in settings.items():
        if key not in known:
            return key, f"is no setting of {name}", did_you_mean(key, known)
        if key in TYPES and value is not None and not isinstance(value, TYPES[key]):
            return key, f"{value!r} is not what {name} takes", ""
        if key == "filter_fn" and not callable(value):
            return key, "takes a function (`!function`)", ""
    if missing := [n for n, p in known.items() if p.default is p.empty and n not in settings]:
        return missing[0], f"{name} needs the setting {missing[0]!r}", ""
    for pattern in [settings.get("regex_pattern"), *(settings.get("regexes_to_ignore") or [])]:
        try:
            re.compile(pattern or "")
        except (re.error, TypeError) as error:
            return "regex_pattern", f"{pattern!r} is no regular expression: {error}", ""
    return None


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _pick(pattern: re.Pattern[str], answer: Any, which: int) -> str | None:
    """A match, stripped; None where there is none with this number, or its groups are empty."""
    matches = pattern.findall(answer if isinstance(answer, str) else "")
    if not -len(matches) <= which < len(matches):
        return None
    match = matches[which]
    if isinstance(match, tuple):
        match = next((m for m in match if m), None)
    return match if match is None else str(match).strip()


@functools.cache
def _punctuation() -> dict[int, None]:
    return dict.fromkeys(i for i in range(sys.maxunicode) if unicodedata.category(chr(i)).startswith("P"))
