"""The language of texts: py3langid's model, walked by a compiled kernel.

The model is a multinomial naive Bayes classifier over byte n-grams chosen for languages, not domains, found by one
automaton. The kernel gives the same languages and, to rounding, the same scores as the package, many times faster;
it releases the interpreter lock, so that threads share the texts.

Source: Lui and Baldwin (2011), Cross-domain feature selection for language identification; Lui and Baldwin (2012),
langid.py: an off-the-shelf language identification tool; py3langid 0.4 (139 languages, features damped by log(1+n),
scores tempered by the square root of the length).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit

from loomwork.text.close_languages import CHINESE, MALAY, SERBO_CROATIAN, settle
from loomwork.text.minhash import Texts

UNKNOWN = "und"  # ISO 639: undetermined
GROUPS = (SERBO_CROATIAN, CHINESE, MALAY)
BLOCK_TEXTS = 1024
SAMPLE_CHARS = 2000  # a long text is judged by so much of its beginning, its middle and its end


@dataclass(frozen=True)
class Model:
    """The automaton and the classifier.

    Args:
        labels: ISO 639 code of each class, sorted.
        step: the state after each state and byte, uint32 (rows * 256,).
        row: where each state's bytes begin in `step`, int64 (states,).
        feature: what a state has found, -1 for nothing, int32 (states,).
        weight: log-probability of each feature in each class, float32 (features, classes).
        prior: log-probability of each class, float32 (classes,).
        alias: for each class the place of its label, int64 (classes,): a label may have a class for each script.
    """

    labels: list[str]
    step: np.ndarray
    row: np.ndarray
    feature: np.ndarray
    weight: np.ndarray
    prior: np.ndarray
    alias: np.ndarray


@dataclass(frozen=True)
class Languages:
    """What was found.

    Args:
        codes: the language of each text, ISO 639; "und" where a text has no letters to go by, "zxx" for what is no
            language (numbers, markup).
        scores: how sure, 0 to 1, float64 (texts,).
    """

    codes: list[str]
    scores: np.ndarray


@lru_cache(maxsize=1)
def _whole_model() -> Model:
    from py3langid.langid import MODEL_DIR, MODEL_FILE
    from py3langid.modelio import load_model

    weight, prior, classes, step, row, feature = load_model(MODEL_DIR / MODEL_FILE)
    return _model(np.asarray(weight), np.asarray(prior), classes, step, row, feature)


def _model(weight, prior, classes, step, row, feature) -> Model:  # type: ignore[no-untyped-def]
    labels = sorted(set(classes))
    return Model(
        labels,
        np.asarray(step).astype(np.uint32),
        np.asarray(row).astype(np.int64) << 8,
        np.asarray(feature).astype(np.int32),
        np.ascontiguousarray(weight, np.float32),
        np.asarray(prior, np.float32),
        np.array([labels.index(name) for name in classes]),
    )


@lru_cache(maxsize=8)
def load_model(languages: tuple[str, ...] = ()) -> Model:
    """The packaged model, of all its languages or some.

    Args:
        languages: ISO 639 codes; empty for all.

    Raises:
        ValueError: names the codes that the model does not know.
    """
    whole = _whole_model()
    if not languages:
        return whole
    unknown = sorted(set(languages) - set(whole.labels))
    if unknown:
        raise ValueError(f"unknown languages: {', '.join(unknown)}")
    kept = np.flatnonzero([whole.labels[place] in languages for place in whole.alias])
    labels = sorted(set(languages))
    alias = np.array([labels.index(whole.labels[place]) for place in whole.alias[kept]])
    weight = np.ascontiguousarray(whole.weight[:, kept])
    return Model(labels, whole.step, whole.row, whole.feature, weight, whole.prior[kept], alias)


def supported_languages() -> list[str]:
    """The ISO 639 codes that the model knows, sorted; "zxx" is what is no language."""
    return list(_whole_model().labels)


def identify(texts: Sequence[str | None], languages: tuple[str, ...] = (), *, threads: int = 1) -> Languages:
    """The language of each text.

    Args:
        texts: any texts; None is as the empty text.
        languages: the codes to choose from; empty for all that the model knows.
        threads: how many threads to use; no result depends on it.
    """
    model = load_model(languages)
    blocks = [texts[i : i + BLOCK_TEXTS] for i in range(0, len(texts), BLOCK_TEXTS)]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        found = list(pool.map(lambda block: _block(block, model), blocks))
    codes = [code for block in found for code in block.codes]
    return Languages(codes, np.concatenate([block.scores for block in found]) if found else np.empty(0))


def _block(texts: Sequence[str | None], model: Model) -> Languages:
    encoded = Texts.of(_prepared(texts))
    scores = _classes(encoded.data, encoded.offsets, model.step, model.row, model.feature, model.weight, model.prior)
    sizes = np.maximum(np.diff(encoded.offsets), 1)
    featureless = np.isnan(scores[:, 0])
    scores = np.where(featureless[:, None], 0.0, scores) / np.sqrt(sizes)[:, None]
    share = np.exp(scores - scores.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    merged = np.zeros((len(texts), len(model.labels)))
    np.add.at(merged.T, model.alias, share.T)
    best = merged.argmax(axis=1)
    codes, sure = [model.labels[i] for i in best], merged[np.arange(len(texts)), best]
    for i in np.flatnonzero(featureless).tolist():
        codes[i], sure[i] = UNKNOWN, 0.0
    for i in (i for i, code in enumerate(codes) if any(code in group for group in GROUPS)):
        codes[i], sure[i] = _settled(texts[i] or "", codes[i], dict(zip(model.labels, merged[i].tolist(), strict=True)))
    return Languages(codes, sure)


def _settled(text: str, code: str, probability: dict[str, float]) -> tuple[str, float]:
    """Within a group of close languages; a language that was settled on has the probability of its group."""
    found = settle(text, code, probability)
    if found == code:
        return code, probability[code]
    group = next(names for names in GROUPS if code in names)
    return found, min(1.0, sum(probability.get(name, 0.0) for name in group))


def _prepared(texts: Iterable[str | None]) -> Iterable[str]:
    """A sample of a long text, in NFC, and lower case for a text that is all capitals, as the model was trained."""
    for text in texts:
        plain = text or ""
        if len(plain) > 3 * SAMPLE_CHARS:
            middle = (len(plain) - SAMPLE_CHARS) // 2
            plain = f"{plain[:SAMPLE_CHARS]}\n{plain[middle : middle + SAMPLE_CHARS]}\n{plain[-SAMPLE_CHARS:]}"
        if plain.isupper():
            plain = plain.lower()
        yield plain if plain.isascii() else unicodedata.normalize("NFC", plain)


@njit(nogil=True, cache=True)
def _classes(
    data: np.ndarray,
    offsets: np.ndarray,
    step: np.ndarray,
    row: np.ndarray,
    feature: np.ndarray,
    weight: np.ndarray,
    prior: np.ndarray,
) -> np.ndarray:
    """The log-posterior of each class for each text, float64 (texts, classes); NaN where it has no features."""
    texts, classes = offsets.size - 1, prior.size
    scores = np.empty((texts, classes))
    seen = np.zeros(weight.shape[0], np.int64)
    touched = np.empty(weight.shape[0], np.int64)
    for text in range(texts):
        state, count = np.int64(0), 0
        for place in range(offsets[text], offsets[text + 1]):
            state = np.int64(step[row[state] + data[place]])
            found = feature[state]
            if found >= 0:
                if seen[found] == 0:
                    touched[count] = found
                    count += 1
                seen[found] += 1
        for k in range(classes):
            scores[text, k] = prior[k] if count else np.nan
        for n in range(count):
            found = touched[n]
            damped = np.log1p(float(seen[found]))
            seen[found] = 0
            for k in range(classes):
                scores[text, k] += damped * weight[found, k]
    return scores
