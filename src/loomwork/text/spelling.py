"""Spelling correction of words that no dictionary has, to the one that does at a small edit distance.

Only plain words are looked at: small ASCII letters, four or more, that are no part of an identifier, a path, a URL, an
address or code. Names keep their capitals and so stay, and so do texts with many words that the dictionary
lacks: they are in another language. A word that two corrections fit about equally well stays too.

Source: symmetric delete spelling correction (Garbe, 2012), by symspellpy with its English dictionary of 82,765 words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from loomwork.text.markup import code_pieces

if TYPE_CHECKING:
    import polars as pl
    from symspellpy import SymSpell

# Not beside what makes a word a part of something else, and not before an apostrophe or a dot with more behind it.
WORD = re.compile(r"(?<![\w@#$%&=+~^<>/\\.:'’\"`{}\[\]-])[a-z]{4,30}(?![\w@#$%&=+~^<>/\\(\[{`-]|[.:'’][\w/])")
# Where British and American spelling differ, folded to one: colour, centre, organise, travelled, paediatric, dialogue.
VARIANTS = (
    (re.compile("our"), "or"),
    (re.compile(r"re(s?)$"), r"er\1"),
    (re.compile("is(?=e|i|a)"), "iz"),
    (re.compile("ys(?=e|i)"), "yz"),
    (re.compile("ll"), "l"),
    (re.compile("[ao]e"), "e"),
    (re.compile("ogu(?=e|i)"), "og"),
    (re.compile("ence"), "ense"),
)
LONG = 8  # letters from which a word may be two edits away
SURER = 10  # times as frequent as the next must the best correction be
FOREIGN_SHARE = 0.4  # of a text's different words: with more of them unknown it is in another language
FOREIGN_WORDS = 3  # in spite of the share, in a short text


class Speller:
    """Corrects words, with what it found remembered.

    Args:
        protected: words that stay, in any case of letters.
        dictionary: a file with "word count" in each line, in place of the English dictionary.

    Raises:
        ValueError: the dictionary holds no word.
    """

    def __init__(self, protected: Iterable[str] = (), dictionary: Path | None = None) -> None:
        self._engine = _engine(dictionary)
        self._known = set(self._engine.words) | {word.lower() for word in protected}
        self._found: dict[str, str] = {}

    def unknown(self, text: str) -> set[str]:
        """The words of a text that are neither in the dictionary nor protected; none of a text in another language."""
        return self._looked_at(text)[0]

    def _looked_at(self, text: str) -> tuple[set[str], bool]:
        """Its unknown words, and whether there are so many that it is taken for another language."""
        words: set[str] = set()
        for is_code, piece in code_pieces(text):
            if not is_code:
                words.update(WORD.findall(piece))
        unknown = words - self._known
        foreign = len(unknown) > max(FOREIGN_WORDS, FOREIGN_SHARE * len(words))
        return (set(), True) if foreign else (unknown, False)

    def protect(self, words: Iterable[str]) -> None:
        """Let further words stay."""
        self._known.update(words)

    def changes(self) -> dict[str, str]:
        """The words that were corrected so far, in order of the alphabet."""
        return {word: right for word, right in sorted(self._found.items()) if right != word}

    def correction(self, word: str) -> str:
        """The word that was probably meant, or the word itself."""
        if word in self._known:
            return word
        found = self._found.get(word)
        if found is None:
            found = self._found[word] = self._look_up(word)
        return found

    def correct(self, text: str) -> tuple[str, int]:
        """A text with its spelling corrected, and how many words changed."""
        return self.correct_unless_foreign(text)[:2]

    def correct_unless_foreign(self, text: str) -> tuple[str, int, bool]:
        """The same, and whether the text was left as it is because it seems to be in another language."""
        unknown, foreign = self._looked_at(text)
        changes = {word: right for word in unknown if (right := self.correction(word)) != word}
        if not changes:
            return text, 0, foreign
        made = 0

        def change(match: re.Match[str]) -> str:
            nonlocal made
            right = changes.get(match.group())
            made += right is not None
            return right or match.group()

        pieces = [piece if is_code else WORD.sub(change, piece) for is_code, piece in code_pieces(text)]
        return "".join(pieces), made, False

    def _look_up(self, word: str) -> str:
        from symspellpy import Verbosity

        edits = 2 if len(word) >= LONG else 1
        near = self._engine.lookup(word, Verbosity.CLOSEST, max_edit_distance=edits)
        if not near or not WORD.fullmatch(near[0].term):
            return word
        if word == near[0].term + "s" or _folded(word) == _folded(near[0].term):
            return word  # a plural that the dictionary lacks, or the other side of the Atlantic
        rival = near[1].count if len(near) > 1 else 0
        return str(near[0].term) if near[0].count >= SURER * rival else word


@lru_cache(maxsize=2)
def _engine(dictionary: Path | None) -> SymSpell:
    from symspellpy import SymSpell

    engine = SymSpell(max_dictionary_edit_distance=2, prefix_length=7)
    source = dictionary or files("symspellpy") / "frequency_dictionary_en_82_765.txt"
    if not engine.load_dictionary(str(source), 0, 1, encoding="utf-8-sig"):
        raise FileNotFoundError(f"no file {source}")
    if not engine.words:
        raise ValueError(f"{source} holds no line of a word and its count")
    return engine


def _folded(word: str) -> str:
    for pattern, other in VARIANTS:
        word = pattern.sub(other, word)
    return word


def correct_texts(texts: pl.Series, speller: Speller) -> tuple[pl.Series, int, int]:
    """The texts with their spelling corrected, how many words changed, and how many texts were left as they are because
    the dictionary lacks too many of their words.

    Args:
        texts: a column of texts without nulls.
    """
    import polars as pl

    results = [speller.correct_unless_foreign(text) for text in texts.to_list()]
    left = sum(foreign for _, _, foreign in results)
    return pl.Series([text for text, _, _ in results], dtype=pl.String), sum(made for _, made, _ in results), left
