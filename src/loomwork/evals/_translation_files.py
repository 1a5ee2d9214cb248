"""The files of translation tasks: plain text, the SGML of WMT until 2020 and its XML since."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

from loomwork.core.errors import InputError, did_you_mean
from loomwork.evals._files import read_lines, read_text
from loomwork.evals._xml import read_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

SGML = re.compile(r"<doc\b([^>]*)>|<seg\b([^>]*)>(.*?)</seg>", re.IGNORECASE | re.DOTALL)
ATTRIBUTE = re.compile(r"""([\w:]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")


@dataclass(frozen=True)
class Segments:
    """Translations in order, and the document and the source of each where the file says so."""

    texts: list[str]
    ids: list[str] | None = None
    documents: list[str] | None = None
    sources: list[str] | None = None


def read_hypotheses(path: Path, system: str) -> Segments:
    """One system's translations.

    Args:
        system: which, where an XML file has several.
    """
    if path.suffix.lower() == ".xml":
        found, names = _read_wmt_xml(path, "hyp", "system")
        chosen = _choose(path, system, names, "system")
        return found[chosen]
    return _read_one(path)


def read_references(paths: Sequence[Path], translator: str) -> list[Segments]:
    """All reference translations; an XML file may have several, of which `translator` chooses one."""
    found: list[Segments] = []
    for path in paths:
        if path.suffix.lower() == ".xml":
            inside, names = _read_wmt_xml(path, "ref", "translator")
            wanted = [_choose(path, translator, names, "translator")] if translator else names
            found += [inside[name] for name in wanted]
        else:
            found.append(_read_one(path))
    return found


def _choose(path: Path, wanted: str, names: list[str], what: str) -> str:
    if not wanted and len(names) == 1:
        return names[0]
    if wanted not in names:
        said = f"no {what} {wanted!r}" if wanted else f"{len(names)} {what}s"
        raise InputError(f"{path} has {said}", did_you_mean(wanted, names))
    return wanted


def _read_one(path: Path) -> Segments:
    return _read_sgml(path) if path.suffix.lower() in (".sgm", ".sgml") else Segments(read_lines(path))


def _read_sgml(path: Path) -> Segments:
    """The segments of an SGML file, with single spaces and without entities."""
    texts, ids, documents, document = [], [], [], ""
    text = read_text(path)
    for match in SGML.finditer(text):
        about = {n.lower(): a or b or c for n, a, b, c in ATTRIBUTE.findall(match[1] or match[2] or "")}
        if match[3] is None:
            document = about.get("docid", "")
            continue
        texts.append(" ".join(unescape(match[3]).split()))
        ids.append(f"{document}:{about.get('id', len(texts))}")
        documents.append(document)
    for tag, name in (("seg", "<seg>"), ("doc", "<doc>"), (r"\w+set", "<refset> or <tstset>")):
        opened, closed = (len(re.findall(rf"<{slash}{tag}\b", text, re.IGNORECASE)) for slash in ("", "/"))
        if not texts or opened != closed:
            raise InputError(f"{path}: {opened} {name} are opened and {closed} closed", "was the file copied whole?")
    return Segments(texts, ids, documents)


def _read_wmt_xml(path: Path, kind: str, name: str) -> tuple[dict[str, Segments], list[str]]:
    """The <ref>s or <hyp>s of a WMT file by name. Test suites, and segments without any reference, are left out."""
    root = read_xml(path)
    documents = [d for d in root.iter("doc") if "testsuite" not in d.attrib]
    names = list(dict.fromkeys(part.get(name) or "" for d in documents for part in d.iter(kind)))
    if not names:
        raise InputError(f"{path} has no <{kind}>", "is it the file with sources, references and outputs?")
    texts: dict[str, list[str]] = {n: [] for n in names}
    places: list[tuple[str, int]] = []
    given: list[str] = []
    for document in documents:
        about = document.get("id") or ""
        parts = {part.get(name) or "": _segments(part, path) for part in document.iter(kind)}
        references = [_segments(part, path) for part in document.iter("ref")]
        sources = [_segments(part, path) for part in document.iter("src")]
        wanted = {i for part in sources or references or list(parts.values()) for i in part}
        for i in sorted(wanted):
            if references and not any(part.get(i) for part in references):
                continue
            places.append((about, i))
            given.append(next((part[i] for part in sources if i in part), ""))
            for n in names:
                if i not in parts.get(n, {}) and kind == "hyp":
                    raise InputError(f"{path}: {kind} {n!r} has no segment {i} in document {about!r}")
                texts[n].append(parts.get(n, {}).get(i, ""))
    ids, labels = [f"{about}:{i}" for about, i in places], [about for about, _ in places]
    return {n: Segments(texts[n], ids, labels, given if any(given) else None) for n in names}, names


def _segments(part: Element, path: Path) -> dict[int, str]:
    found = {}
    for segment in part.iter("seg"):
        name = segment.get("id") or ""
        if not name.isdecimal():
            raise InputError(f"{path}: a <seg> has id {name!r}", "ids are numbers")
        found[int(name)] = " ".join("".join(segment.itertext()).split())
    return found
