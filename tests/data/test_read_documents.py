"""Word, EPUB and PDF: files made by other libraries, and real ones."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest

from loomwork.data.read import read
from loomwork.data.readers.pdf import mended
from tests.data.read_rows import reasons, rows_of

pytest.importorskip("trafilatura")
docx = pytest.importorskip("docx")
pypdf = pytest.importorskip("pypdf")

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
)
PACKAGE = """<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:title>The Book</dc:title><dc:creator>A. B.</dc:creator><dc:creator>C. D.</dc:creator><dc:language>en</dc:language>
<dc:rights>CC0</dc:rights></metadata><manifest>
<item id="b" href="two%20b.xhtml" media-type="application/xhtml+xml"/>
<item id="a" href="text/one.xhtml" media-type="application/xhtml+xml"/>
<item id="c" href="gone.xhtml" media-type="application/xhtml+xml"/><item id="p" href="p.png" media-type="image/png"/>
</manifest><spine><itemref idref="a"/><itemref idref="b"/><itemref idref="p"/><itemref idref="c"/></spine></package>"""
ONE = '<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>First</h1><p>Text of é.</p></body></html>'
TWO = (
    "<html><body><h1>Second</h1><p>Text&nbsp;of <i>two</i>.<br/>Line</p><ul><li>a</li><li>b</li></ul>"
    "<table><tr><td>1</td><td>2</td></tr></table><pre>if x:\n    y</pre><script>no()</script></body></html>"
)


def epub(path: Path, **changed: str) -> Path:
    members = {
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": PACKAGE,
        "OEBPS/text/one.xhtml": ONE,
        "OEBPS/two b.xhtml": TWO,
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (members | changed).items():
            archive.writestr(name, content)
    return path


def test_a_word_document_that_says_nothing_of_itself_has_no_title_and_no_date(tmp_path, run_step):
    document = docx.Document()
    document.add_paragraph("Words.")
    document.save(tmp_path / "whole.docx")
    with zipfile.ZipFile(tmp_path / "whole.docx") as whole, zipfile.ZipFile(tmp_path / "a.docx", "w") as bare:
        for name in whole.namelist():
            if name != "docProps/core.xml":
                content = whole.read(name)
                # what mentions it goes too
                bare.writestr(name, re.sub(rb"<(?:Override|Relationship) [^>]*docProps/core.xml[^>]*/>", b"", content))
    ids = {run_step(read, path=tmp_path / "a.docx")[0].id for _ in range(2)}
    data, _ = run_step(read, path=tmp_path / "a.docx")
    assert rows_of(data) == [{"text": "Words.", "source": "a.docx"}]
    assert ids == {data.id}


def test_word_documents_in_the_order_of_their_blocks(tmp_path, run_step):
    document = docx.Document()
    document.core_properties.title, document.core_properties.author = "A title", "Ann"
    document.add_heading("Heading", 1)
    paragraph = document.add_paragraph("Some ")
    paragraph.add_run("bold").bold = True
    paragraph.add_run(" words\tand\nmore")
    for item in ("one", "two"):
        document.add_paragraph(item, style="List Bullet")
    table = document.add_table(2, 2)
    for cell, text in zip(table._cells, ("a", "b", "c", "d\ne"), strict=True):
        cell.text = text
    document.add_paragraph("The end.")
    document.save(tmp_path / "a.docx")
    data, _ = run_step(read, path=tmp_path / "a.docx")
    (row,) = rows_of(data)
    assert row["text"] == ("Heading\n\nSome bold words\tand\nmore\n\n- one\n- two\n| a | b |\n| c | d e |\n\nThe end.")
    assert (row["title"], row["author"]) == ("A title", "Ann")
    parts, _ = run_step(read, path=tmp_path / "a.docx", text_unit="paragraph")
    assert [r["source"] for r in rows_of(parts)] == [f"a.docx:{n}" for n in range(1, 5)]


def test_word_insertions_count_and_deletions_do_not(tmp_path, run_step):
    from docx.oxml import parse_xml

    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    document = docx.Document()
    document.element.body.insert(
        0,
        parse_xml(
            f"<w:sdt {space}><w:sdtContent><w:p><w:r><w:t>kept </w:t></w:r><w:ins><w:r><w:t>new</w:t></w:r></w:ins>"
            "<w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p></w:sdtContent></w:sdt>"
        ),
    )
    document.save(tmp_path / "a.docx")
    data, _ = run_step(read, path=tmp_path / "a.docx")
    assert [r["text"] for r in rows_of(data)] == ["kept new"]


def test_books_in_reading_order(tmp_path, run_step):
    epub(tmp_path / "a.epub")
    data, _ = run_step(read, path=tmp_path / "a.epub")
    (row,) = rows_of(data)
    second = "Second\n\nText of two.\nLine\n\n- a\n- b\n\n1 | 2\n\nif x:\n    y"
    assert row["text"] == f"First\n\nText of é.\n\n{second}"
    assert {k: row[k] for k in ("title", "author", "language", "licence")} == {
        "title": "The Book",
        "author": "A. B.; C. D.",
        "language": "en",
        "licence": "CC0",
    }
    assert reasons(data) == [("a.epub:3", "missing chapter of an EPUB")]
    paged, _ = run_step(read, path=tmp_path / "a.epub", text_unit="page")
    assert [(r["page"], r["text"]) for r in rows_of(paged)] == [(1, "First\n\nText of é."), (2, second)]


def test_encrypted_chapters_are_set_aside(tmp_path, run_step):
    locked = '<encryption xmlns:enc="x"><enc:CipherReference URI="OEBPS/two%20b.xhtml"/></encryption>'
    epub(tmp_path / "a.epub", **{"META-INF/encryption.xml": locked})
    data, _ = run_step(read, path=tmp_path / "a.epub")
    assert reasons(data)[0] == ("a.epub:2", "encrypted chapter of an EPUB")
    assert [r["text"] for r in rows_of(data)] == ["First\n\nText of é."]


def test_real_pdf_files(test_data, run_step):
    data, card = run_step(read, path=test_data / "web" / "pdf" / "*.pdf")
    rows = {r["source"]: r for r in rows_of(data)}
    aside = dict(reasons(data))
    assert aside == {
        "cmyk-image.pdf": "PDF without text",
        "grayscale-image.pdf": "PDF without text",
        "imagemagick-ASCII85Decode.pdf": "PDF without text",
        "libreoffice-writer-password.pdf": "encrypted PDF",
    }
    assert len(rows) + len(aside) == card.metrics["files"] == 22
    assert rows["minimal-document.pdf"]["text"].startswith("Lorem ipsum dolor sit amet, consetetur sadipscing elitr")
    assert "consectetuer adipiscing elit" in rows["multicolumn.pdf"]["text"]  # broken at a line's end
    assert "columns filled" in rows["multicolumn.pdf"]["text"]  # a ligature
    assert rows["libre-office-link.pdf"]["language"] == "en-US"
    assert rows["habibi.pdf"]["title"] == "habibi"
    path = test_data / "web" / "pdf" / "pdflatex-4-pages.pdf"
    paged, _ = run_step(read, path=path, text_unit="page")
    assert [(r["page"], r["source"]) for r in rows_of(paged)] == [(n, f"{path.name}:{n}") for n in (1, 2, 3, 4)]


def test_encrypted_pdf_needs_a_password_unless_only_its_owner_has_one(test_data, tmp_path, run_step):
    original = test_data / "web" / "pdf" / "minimal-document.pdf"
    for name, password in (("locked.pdf", "secret"), ("open.pdf", "")):
        writer = pypdf.PdfWriter(clone_from=original)
        writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
        writer.write(tmp_path / name)
    data, card = run_step(read, path=tmp_path)
    assert reasons(data) == [("locked.pdf", "encrypted PDF")]
    assert [(r["source"], r["text"][:11]) for r in rows_of(data)] == [("open.pdf", "Lorem ipsum")]
    assert card.metrics["dropped: encrypted PDF"] == 1


def test_words_that_typesetting_broke_are_mended():
    assert mended("an eﬃcient for-\nmat, well-\nknown and well-known, the Anglo-\nSaxon") == (
        "an efficient format, well-known and well-known, the Anglo-Saxon"
    )


def bomb(inner: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(inner, b"\0" * (80 << 20))
    return made.getvalue()


def test_what_is_no_document_is_set_aside_and_the_rest_is_read(test_data, tmp_path, run_step):
    whole = (test_data / "web" / "pdf" / "minimal-document.pdf").read_bytes()
    entity = '<!DOCTYPE package [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + PACKAGE.replace("The Book", "&x;")
    epub(tmp_path / "entity.epub", **{"OEBPS/book.opf": entity})
    bad = {
        **{f"empty.{kind}": (b"", "empty file") for kind in ("docx", "epub", "pdf")},
        "zeros.pdf": (b"\0" * 2000, "empty file"),
        "text.docx": (b"only text", "not a Word document"),
        "text.epub": (b"only text", "not EPUB"),
        "text.pdf": (b"only text", "not PDF"),
        "cut.pdf": (whole[:3000], "not PDF"),
        "old.docx": (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "encrypted Word document, or one of Word 97 to 2003"),
        "bomb.docx": (bomb("word/document.xml"), "refused"),
        "bomb.epub": (bomb("META-INF/container.xml"), "refused"),
        "other.docx": (epub(tmp_path / "x.epub").read_bytes(), "not a Word document"),
    }
    for name, (content, _) in bad.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "good.pdf").write_bytes(whole)
    (tmp_path / "x.epub").unlink()
    data, _ = run_step(read, path=tmp_path)
    assert dict(reasons(data)) == {name: reason for name, (_, reason) in bad.items()} | {"entity.epub": "refused"}
    assert {r["source"] for r in rows_of(data)} == {"good.pdf"}
    why = {r["source"]: r["reason"] for r in rows_of(data, "dropped")}
    for name in ("bomb.docx", "bomb.epub"):
        assert "archive bomb" in why[name]
        assert "max_ratio= allows more" in why[name]
    allowed, _ = run_step(read, path=tmp_path, max_ratio=1e9, max_unpacked_bytes=1 << 40)
    assert {"bomb.docx", "bomb.epub"}.isdisjoint(name for name, reason in reasons(allowed) if reason == "refused")
    assert "declares entities" in why["entity.epub"]
