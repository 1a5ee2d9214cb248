"""XML files of benchmarks: no entity is expanded and nothing is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.parsers.expat import ExpatError, ParserCreate

from loomwork.core.errors import InputError
from loomwork.evals._files import read_text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

DEEPEST = 200  # elements within one another


def read_xml(path: Path) -> Element:
    """The root of an XML file.

    Raises:
        InputError: it is not well formed (says where), is nested too deeply, or declares entities.
    """
    from xml.etree.ElementTree import TreeBuilder

    builder, depth = TreeBuilder(), 0
    parser = ParserCreate("utf-8")
    parser.buffer_text = True

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise InputError(f"{path}, line {parser.CurrentLineNumber}: elements lie {depth} deep in one another")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def entity(name: str, *_: object) -> None:
        raise InputError(
            f"{path}, line {parser.CurrentLineNumber}: declares the entity {name!r}", "entities are not expanded here"
        )

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(read_text(path).encode(), True)
    except ExpatError as error:
        raise InputError(f"{path}: not well-formed XML: {error}") from None
    return builder.close()
