"""How varied the sampled texts are: distinct n-grams, compression, Vendi score, clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from loomwork.data.profiling.sampled import Sample
from loomwork.stats.concentration import effective_number
from loomwork.stats.vendi import vendi_of_vectors, vendi_score
from loomwork.text.lexical import compression_ratio, distinct_n, hashed_counts, letter_words, unit_rows
from loomwork.text.minhash import Texts

if TYPE_CHECKING:
    from collections.abc import Callable

DISTINCT_WORDS = 50_000  # distinct-n falls with length, so it is measured on so many words
CHARS_A_WORD = 40  # at most, on average: so much text is looked through for these words
VENDI_TEXTS = 500  # of one draw
VENDI_DRAWS = 3
CLUSTERED_TEXTS = 4000
EMBEDDED_TEXTS = VENDI_TEXTS * VENDI_DRAWS  # where an encoder has to read them
CLUSTERS = 20
LATENT = 50  # dimensions of the clustered vectors
CUT = 2000  # characters of a text that count for its topic
TYPICAL = 8  # words that describe a cluster


def variety(sample: Sample, embed: Callable[[Sequence[str]], np.ndarray] | None, seed: int) -> dict[str, Any]:
    """All measures of diversity.

    Args:
        sample: the texts.
        embed: gives vectors of length 1 for texts; None measures likeness by shared words and word pairs.
        seed: of the clustering.
    """
    mixed = [sample.texts[i] for i in sample.shuffled]
    enough = int(np.searchsorted(np.cumsum([len(t) for t in mixed]), DISTINCT_WORDS * CHARS_A_WORD)) + 1
    words = letter_words(Texts.of(text.lower() for text in mixed[:enough]))
    distinct = []
    for n in (1, 2, 3):
        ratio, ngrams = distinct_n(words, n, DISTINCT_WORDS)
        distinct.append({"n": n, "ratio": ratio, "ngrams": ngrams})
    return {
        "distinct": distinct,
        "distinct_words": min(DISTINCT_WORDS, len(words)),
        "compression_ratio": compression_ratio(mixed),
        "vendi": _vendi(mixed, embed),
        "clusters": _clusters(mixed[: EMBEDDED_TEXTS if embed else CLUSTERED_TEXTS], embed, seed),
    }


def _vendi(mixed: list[str], embed: Callable[[Sequence[str]], np.ndarray] | None) -> dict[str, Any] | None:
    """The score of a few disjoint draws of equal size: their spread shows what a number of one draw is worth."""
    size = min(VENDI_TEXTS, len(mixed))
    draws = min(VENDI_DRAWS, len(mixed) // size)
    texts = [t[:CUT] for t in mixed[: size * draws]]
    if embed is not None:
        vectors = embed(texts)
        scores = [vendi_of_vectors(vectors[i * size : (i + 1) * size]) for i in range(draws)]
        return {"texts": size, "kernel": "embeddings", "scores": scores}
    rows = unit_rows(hashed_counts(texts)).tocsr()
    filled = np.flatnonzero(np.diff(rows.indptr) > 0)
    size = min(size, filled.size // draws)
    if size == 0:
        return None
    parts = [rows[filled[i * size : (i + 1) * size]] for i in range(draws)]
    return {"texts": size, "kernel": "words", "scores": [vendi_score((p @ p.T).toarray()) for p in parts]}


def _clusters(
    texts: list[str], embed: Callable[[Sequence[str]], np.ndarray] | None, seed: int
) -> dict[str, Any] | None:
    """k-means on vectors; each cluster with its share, its typical words and a text near its middle."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    texts = [t[:CUT] for t in texts]
    k = min(CLUSTERS, len(set(texts)) // 10)
    if k < 2:
        return None
    vectors = embed(texts) if embed else _latent(texts, seed)
    if len(np.unique(vectors, axis=0)) < k:
        return None
    with threadpool_limits(1):  # the last bits depend on the number of threads
        model = KMeans(k, n_init=1, random_state=seed).fit(vectors)
    sizes = np.bincount(model.labels_, minlength=k)
    words = typical_words(texts, model.labels_, k)
    near = np.argmax(vectors @ model.cluster_centers_.T, axis=0)
    order = np.lexsort((np.arange(k), -sizes))
    return {
        "texts": len(texts),
        "k": k,
        "vectors": "embeddings" if embed else "latent semantic vectors",
        "effective": effective_number(sizes),
        "clusters": [
            {"share": int(sizes[c]) / len(texts), "words": words[c], "example": texts[near[c]][:200]} for c in order
        ],
    }


def _latent(texts: Sequence[str], seed: int) -> np.ndarray:
    """Vectors of length 1, or 0 for a text without words, from the words that texts share.

    Source: Deerwester et al. (1990), Indexing by latent semantic analysis.
    """
    from scipy.sparse import diags
    from sklearn.decomposition import TruncatedSVD
    from threadpoolctl import threadpool_limits

    counts = hashed_counts(texts, most_n=1)
    seen = np.asarray((counts > 0).sum(axis=0)).ravel()
    weights = np.where(seen > 0, np.log((1 + len(texts)) / (1 + seen)), 0)
    dimensions = min(LATENT, len(texts) - 1)
    weighted = unit_rows(counts @ diags(weights))
    with threadpool_limits(1):
        found = np.asarray(TruncatedSVD(dimensions, random_state=seed).fit_transform(weighted))
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12))


def typical_words(texts: Sequence[str], group_of: np.ndarray, groups: int, count: int = TYPICAL) -> list[list[str]]:
    """The words that mark each group of texts against the others.

    A word counts once a text; it is ranked by the z value of its log odds against the rest, with all texts as the
    prior.

    Source: Monroe, Colaresi and Quinn (2008), Fightin' words, section 3.5.1.
    """
    encoded = Texts.of(text.lower() for text in texts)
    words = letter_words(encoded)
    row_of = np.repeat(np.arange(len(texts)), np.diff(words.rows))
    hashes, first, place = np.unique(words.hashes, return_index=True, return_inverse=True)
    once = np.unique(place * np.int64(len(texts)) + row_of)
    table = np.zeros((groups, hashes.size))
    np.add.at(table, (group_of[once % len(texts)], once // len(texts)), 1)
    total = table.sum(axis=0)  # (words,)
    prior = total * (500 / max(total.sum(), 1)) + 1e-9
    spelled = words.chars[first] > 1
    found = []
    for group in range(groups):
        mine, others = table[group], total - table[group]
        n, m, a = mine.sum(), others.sum(), prior.sum()
        odds = np.log((mine + prior) / (n + a - mine - prior)) - np.log((others + prior) / (m + a - others - prior))
        z = np.where(spelled & (mine >= 2), odds / np.sqrt(1 / (mine + prior) + 1 / (others + prior)), -np.inf)
        best = [i for i in np.lexsort((hashes, -z))[:count] if z[i] > 1.96]
        spans = [(int(words.starts[first[i]]), int(words.ends[first[i]])) for i in best]
        found.append([encoded.data[s:e].tobytes().decode("utf-8", "replace") for s, e in spans])
    return found
