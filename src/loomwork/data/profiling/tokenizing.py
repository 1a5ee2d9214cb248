"""The tokenizer report: tokenizers side by side on the same texts, by language and by source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loomwork.core.artifact import Artifact, Model
from loomwork.core.context import context
from loomwork.core.errors import InputError, LoomError
from loomwork.data.profiling.sampled import Sample
from loomwork.stats.bootstrap import ratio_interval
from loomwork.text.tokens import WORDLESS, TokenCounts, count_tokens, kind_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZED = 2000  # texts
LEAST = 5  # texts of a language or source, below which it has no row of its own
SHOWN = 12  # languages, sources


def opened(tokenizers: Mapping[str, Artifact], paths: Sequence[Path]) -> dict[str, Tokenizer]:
    """All tokenizers by the name to show: that of the artifacts, of a path its kind and size ("BPE 512").

    Args:
        tokenizers: artifacts with tokenizer.json, by name.
        paths: folders with tokenizer.json, or such files.

    Raises:
        InputError: there is no tokenizer.json, or it cannot be read.
    """
    from loomwork.models.encoder import load_tokenizer

    found = {}
    for name, artifact in sorted(tokenizers.items()):
        if artifact.manifest["kind"] == "dataset":
            hint = "give what train.tokenizer or train.base made, or a folder as tokenizer_paths"
            raise InputError(f"tokenizers.{name} is a dataset", hint)
        found[name] = load_tokenizer(Model(artifact.path, artifact.part))
    for path in paths:
        folder = Path(path).parent if Path(path).is_file() else Path(path)
        try:
            tokenizer = load_tokenizer(Model(folder))
        except LoomError:
            raise
        except Exception as error:  # the library raises Exception itself
            raise InputError(f"{folder}/tokenizer.json is no tokenizer: {error}") from None
        name = f"{kind_of(tokenizer)} {tokenizer.get_vocab_size(with_added_tokens=True):,}"
        same = sum(known == name or known.startswith(name + " (") for known in found)
        found[f"{name} ({same + 1})" if same else name] = tokenizer
    return found


def tokenizing(sample: Sample, tokenizers: Mapping[str, Tokenizer]) -> list[dict[str, Any]]:
    """The report of each tokenizer.

    Args:
        sample: the texts, with their languages and sources.
        tokenizers: by the name to show.
    """
    places = sample.some(TOKENIZED)
    texts = [sample.texts[i] for i in places]
    languages, sources = [sample.languages[i] for i in places], [sample.sources[i] for i in places]
    found = []
    for done, (name, tokenizer) in enumerate(tokenizers.items()):
        counts = count_tokens(tokenizer, texts)
        everything = np.arange(len(texts))
        found.append(
            {
                "name": name,
                "vocabulary": tokenizer.get_vocab_size(with_added_tokens=True),
                "all": _rates(counts, everything, languages),
                "languages": _by(counts, languages, languages),
                "sources": _by(counts, sources, languages),
            }
        )
        context().progress(done + 1, len(tokenizers), "tokenizers")
    return found


def _by(counts: TokenCounts, groups: Sequence[str], languages: Sequence[str]) -> list[dict[str, Any]]:
    """The rates of the most frequent groups; none where there is one group only."""
    common = sorted(Counter(g for g in groups if g).items(), key=lambda pair: (-pair[1], pair[0]))
    if len(common) < 2:
        return []
    labels = np.array(groups, dtype=object)
    return [
        {"group": name} | _rates(counts, np.flatnonzero(labels == name), languages)
        for name, n in common[:SHOWN]
        if n >= LEAST
    ]


def _rates(counts: TokenCounts, places: np.ndarray, languages: Sequence[str]) -> dict[str, Any]:
    """All rates of some texts. Those to a word leave out the languages that do not separate words."""
    part = TokenCounts(*(getattr(counts, f)[places] for f in TokenCounts.__dataclass_fields__))
    spaced = np.array([languages[i] not in WORDLESS for i in places], bool) & (part.words > 0)
    tokens = max(1, int(part.tokens.sum()))
    rates: dict[str, Any] = {
        "texts": len(places),
        "tokens": int(part.tokens.sum()),
        "per_word": _ratio(part.tokens[spaced], part.words[spaced]),
        "split_words": _ratio(part.split_words[spaced], part.words[spaced]),
        "per_character": _ratio(part.tokens, part.chars),
        "bytes_per_token": _ratio(part.bytes, part.tokens),
        "unknown": int(part.unknown.sum()) / tokens,
        "byte_pieces": int(part.byte_pieces.sum()) / tokens,
    }
    return rates


def _ratio(above: np.ndarray, below: np.ndarray) -> dict[str, float] | None:
    """A ratio of sums with its interval over texts; None for fewer than two texts that count."""
    some = below > 0
    if some.sum() < 2:
        return None
    interval = ratio_interval(above[some], below[some])
    return {
        "value": float(above[some].sum() / below[some].sum()),
        "low": max(0.0, interval.low),
        "high": interval.high,
    }
