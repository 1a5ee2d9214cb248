"""The corpus that the benchmarks share: real documentation that lies on this machine. Nothing is downloaded.

    from _corpus import documents  # a script in bench/ finds it beside itself
    texts = documents(30_000)  # about 65 MB

Three kinds of documents, mixed: docstrings of at least 300 characters of the standard library and of the installed
packages, manual pages (English), and what lies in /usr/share/doc and in the packages as .txt, .md and .rst; files
longer than 20,000 characters are cut at the ends of paragraphs. Files are visited in the order of a hash of their
paths, so the kinds are mixed, the order is the same in every run, and `documents(100)` are the first of
`documents(200)`. Exact copies are left out; near copies, such as licences, are as frequent as they are in nature.

The first call reads and parses for up to two minutes; its result is kept in the temporary folder for later calls.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import os
import re
import sysconfig
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from loomwork.text.docstrings import docstrings

VERSION = 1  # of the rules below: another one makes the kept corpora void
SHORTEST, LONGEST = 300, 20_000  # characters of a document
PAGES = ("/usr/share/man", "/usr/share/doc")
TEXT = (".txt", ".md", ".rst")
FONT = re.compile(r"\\f(?:\[\w*\]|\(\w\w|\w)|\\[&|^]")
MACRO = re.compile(r"^[.'](\\\"|\w*)[ \t]*(.*)$")


def documents(count: int) -> list[str]:
    """The first `count` documents of this machine, the same ones in the same order in every run.

    Args:
        count: how many; 30,000 are about 65 MB.

    Returns: texts of 300 to 20,000 characters, all different.

    Raises:
        RuntimeError: this machine has fewer.
    """
    paths = sysconfig.get_paths()
    roots = [paths["stdlib"], paths["purelib"], *PAGES]
    place = hashlib.sha256(repr((VERSION, SHORTEST, LONGEST, count, roots)).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"loomwork-corpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise RuntimeError(f"{folder} belongs to someone else; set TMPDIR to a folder of your own")
    kept = folder / f"{place}.json"
    if kept.exists():
        texts: list[str] = json.loads(kept.read_bytes())
        return texts
    texts = _collect(count, roots)
    half = kept.with_suffix(f".{os.getpid()}")
    half.write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
    half.replace(kept)
    return texts


def _collect(count: int, roots: list[str]) -> list[str]:
    files = {str(f): f for root in roots for f in Path(root).rglob("*") if _wanted(f)}
    found: dict[str, None] = {}
    for path in sorted(files, key=lambda p: hashlib.blake2b(p.encode("utf-8", "replace"), digest_size=16).digest()):
        for text in _texts(files[path]):
            found.setdefault(text)
        if len(found) >= count:
            return list(found)[:count]
    raise RuntimeError(f"this machine has {len(found)} documents of at least {SHORTEST} characters, not {count}")


def _wanted(file: Path) -> bool:
    name = file.name.removesuffix(".gz")
    if str(file).startswith(PAGES[0]):
        return file.parent.name.startswith("man") and file.parent.parent == Path(PAGES[0]) and file.is_file()
    return name.endswith((".py", *TEXT)) and "/tests/" not in str(file) and file.is_file()


def _texts(file: Path) -> Iterator[str]:
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        text = content.decode("utf-8")
        if file.suffix == ".py":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pieces = [found.text for found in docstrings(ast.parse(text), "m")]
        else:
            pieces = _cut(_plain(text) if str(file).startswith(PAGES[0]) else text)
    except (OSError, EOFError, ValueError, SyntaxError, RecursionError):
        return  # what cannot be read here is no document
    for piece in pieces:
        whole = piece.strip()[:LONGEST]
        if len(whole) >= SHORTEST and not _surrogate(whole):
            yield whole


def _surrogate(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text) if not text.isascii() else False


def _plain(page: str) -> str:
    """A manual page without its roff macros."""
    lines = []
    for line in page.splitlines():
        macro = MACRO.match(line)
        if macro and macro[1] in ('\\"', "de", "ds", "nr", "if", "ie", "el", "TH", "Dd", "Os", "so"):
            continue
        lines.append(macro[2].strip('"') if macro else line)
    text = FONT.sub("", "\n".join(lines)).replace("\\-", "-").replace("\\(aq", "'").replace("\\e", "\\")
    return re.sub(r"\n{3,}", "\n\n", text)


def _cut(text: str) -> Iterator[str]:
    """A text in pieces of whole paragraphs, each at most LONGEST characters unless one paragraph is longer."""
    piece: list[str] = []
    size = 0
    for paragraph in text.split("\n\n"):
        if piece and size + len(paragraph) > LONGEST:
            yield "\n\n".join(piece)
            piece, size = [], 0
        piece.append(paragraph)
        size += len(paragraph) + 2
    yield "\n\n".join(piece)
