"""Cleaning of one text: the same characters for the same content, and nothing that is not text."""

from __future__ import annotations

import re
import unicodedata

LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# C0 and C1 controls but tab and line feed, byte-order marks, interlinear marks, lone surrogates and non-characters
CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufff9-\ufffb\ud800-\udfff\ufffe\uffff]")
TRAILING = re.compile(r"[^\S\n]+$", re.MULTILINE)
BLANK_LINES = re.compile(r"\n{3,}")
UNDERLINE = re.compile(r"([=\-~^*#\"'`+.:_])\1{2,}")
SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)\s|(?<=[。！？])|\n\s*\n")


def clean_text(text: str) -> str:
    """Normalise a text: NFC, one kind of line ending, no control characters, no trailing white space,
    at most one blank line in a row. Cleaning twice changes nothing more.

    Args:
        text: any text.
    """
    text = CONTROLS.sub("", LINE_ENDS.sub("\n", text))
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    text = BLANK_LINES.sub("\n\n", TRAILING.sub("", text))
    return text.rstrip().strip("\n")


def fold(text: str) -> str:
    """Every run of white space becomes one space; none at the ends."""
    return " ".join(text.split())


def split_heading(text: str) -> tuple[str, str]:
    """A first line that is underlined (reStructuredText, Markdown), and the text after it.

    Returns: (heading, body); the heading is "" where there is none.
    """
    lines = text.split("\n", 2)
    if len(lines) > 1 and lines[0].strip() and UNDERLINE.fullmatch(lines[1].strip()):
        return lines[0].strip(), lines[2].strip() if len(lines) > 2 else ""
    return "", text


def first_sentence(text: str) -> tuple[str, str]:
    """A text's first sentence and the rest, each with its white space folded.

    A sentence ends at a full stop, question or exclamation mark before white space, or at a blank line.
    """
    pieces = SENTENCE_END.split(text.strip(), maxsplit=1)
    return fold(pieces[0]), fold(pieces[1]) if len(pieces) > 1 else ""
