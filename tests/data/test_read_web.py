"""Web archives, mailboxes, XML and wiki dumps."""

from __future__ import annotations

import bz2
import gzip
import mailbox
import sys
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.errors import MissingDependency
from loomwork.data.read import read
from loomwork.data.readers import SourceFile
from loomwork.data.readers import mail as mail_reader
from tests.data.read_rows import reasons, rows_of, texts

pytest.importorskip("trafilatura")
pytest.importorskip("fastwarc")


def test_real_web_archives(test_data, run_step):
    data, _ = run_step(read, path=test_data / "web" / "warc")
    rows = {r["source"]: r for r in rows_of(data)}
    assert set(rows) == {
        "example-bad-non-chunked.warc.gz:3",
        "example-iana.org-chunked.warc:2",
        "example-resource.warc.gz:3",
        "example-trunc.warc:3",
        "example-wrong-chunks.warc.gz:1",
        "example.warc:3",
    }
    page = rows["example.warc:3"]
    assert page["text"].startswith("This domain is established to be used for illustrative examples")
    assert (page["url"], page["crawl_date"], page["title"]) == (
        "http://example.com/",
        "2017-03-06T04:02:06Z",
        "Example Domain",
    )
    assert "Management of the DNS Root Zone" in rows["example-iana.org-chunked.warc:2"]["text"]
    assert reasons(data) == [
        ("example-bad-non-chunked.warc.gz:5", "WARC record of type revisit"),
        ("example-bad.warc.gz.bad", "unknown format"),
        ("example-digest.warc", "WARC without pages"),
        ("example-space-in-target-uri.warc.gz:2", "not HTML"),
        ("example-space-in-url.arc", "unknown format"),
        ("example-trunc.warc:4", "damaged WARC"),
        ("example.arc.gz", "unknown format"),
        ("example.warc:5", "WARC record of type revisit"),
    ]


def test_a_web_archive_that_is_cut_off_keeps_the_pages_before(test_data, tmp_path, run_step):
    whole = (test_data / "web" / "warc" / "example-iana.org-chunked.warc").read_bytes()
    (tmp_path / "a.warc").write_bytes(whole + whole[:5000])
    (tmp_path / "b.warc.gz").write_bytes(gzip.compress(whole)[:-900])
    (tmp_path / "c.warc").write_bytes(b"no archive")
    data, _ = run_step(read, path=tmp_path)
    assert next(r["source"] for r in rows_of(data)) == "a.warc:2"
    assert ("a.warc:5", "cut off") in reasons(data)
    assert ("b.warc.gz", "damaged file") in reasons(data)
    assert ("c.warc", "not WARC") in reasons(data)


def message(subject: str, text: str | None = None, html: str | None = None) -> EmailMessage:
    made = EmailMessage()
    made["Subject"], made["From"], made["Date"] = subject, "Ann Ö <ann@example.org>", "Mon, 01 Jan 2024 10:00:00 +0100"
    if text is not None:
        made.set_content(text)
    if html is not None:
        (made.add_alternative if text is not None else made.set_content)(html, subtype="html")
    return made


def test_mailboxes_that_the_standard_library_writes(tmp_path, run_step):
    box = mailbox.mbox(tmp_path / "a.mbox")
    box.add(message("Grüße aus Köln", "Hello\n\nFrom me to you.\n"))
    with_file = message("a page", html="<html><body><p>Dear friend,</p><p>all is well here.</p></body></html>")
    with_file.add_attachment(b"abc", maintype="application", subtype="pdf", filename="x.pdf")
    box.add(with_file)
    box.add(message("both", "the plain one", "<p>the other one</p>"))
    box.add(message("nothing", ""))
    box.flush()
    data, _ = run_step(read, path=tmp_path / "a.mbox")
    assert [{k: v for k, v in r.items() if k != "date"} for r in rows_of(data)] == [
        {
            "source": f"a.mbox:{n}",
            "title": title,
            "author": "Ann Ö <ann@example.org>",
            "attachments": files,
            "text": text,
        }
        for n, title, files, text in (
            (1, "Grüße aus Köln", 0, "Hello\n\nFrom me to you."),
            (2, "a page", 1, "Dear friend,\nall is well here."),
            (3, "both", 0, "the plain one"),
        )
    ]
    assert {r["date"] for r in rows_of(data)} == {"2024-01-01T10:00:00+01:00"}
    assert reasons(data) == [("a.mbox:4", "e-mail without text")]
    (tmp_path / "b.mbox.gz").write_bytes(gzip.compress((tmp_path / "a.mbox").read_bytes()))
    packed, _ = run_step(read, path=tmp_path / "b.mbox.gz")
    assert [t for _, t in texts(packed)] == [t for _, t in texts(data)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.sampled_from("aF rom\n>:é "), min_size=1, max_size=60), min_size=1, max_size=4))
def test_as_many_messages_as_the_standard_library_finds(tmp_path_factory, bodies):
    path = tmp_path_factory.mktemp("box") / "a.mbox"
    box = mailbox.mbox(path)
    for body in bodies:
        box.add(message("s", body))
    box.flush()
    chunks = list(mail_reader.read(SourceFile(path, ".mbox")))
    found = {place: row for chunk in chunks for place, row in zip(chunk.places, chunk.rows, strict=True)}
    empty = {fault.place for chunk in chunks for fault in chunk.faults}
    assert sorted([*found, *empty]) == list(range(1, len(box) + 1))
    assert empty == {place for place, body in enumerate(bodies, 1) if not body.split()}
    for place, row in found.items():
        assert row["text"].split() == bodies[place - 1].split()


def test_single_messages_and_what_is_none(tmp_path, run_step):
    (tmp_path / "a.eml").write_bytes(message("one", "Only text.").as_bytes())
    (tmp_path / "b.eml").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "c.mbox").write_bytes(b"no mailbox\n")
    (tmp_path / "d.mbox").write_bytes(b"")
    data, _ = run_step(read, path=tmp_path)
    assert texts(data) == [("a.eml", "Only text.")]
    assert reasons(data) == [("b.eml", "not an e-mail"), ("c.mbox:1", "not a mailbox"), ("d.mbox", "empty file")]


def test_records_of_real_xml(test_data, run_step):
    data, _ = run_step(read, path=test_data / "glue" / "RTE" / "rte3_dev.xml")
    rows = rows_of(data)
    assert len(rows) == 800
    assert rows[0]["source"] == "rte3_dev.xml:1"
    assert (rows[0]["id"], rows[0]["task"], rows[0]["h"]) == ("1", "IE", "Baikalfinansgroup was sold to Rosneft.")
    assert rows[0]["text"] == rows[0]["t"] + "\n" + rows[0]["h"]


FEED = """<?xml version="1.0"?><rss version="2.0"><channel><title>Feed</title>
<item><title>One</title><description>Text &lt;b&gt;1&lt;/b&gt;</description>
<category>a</category><category>b</category></item>
<item><title>Two</title><description>Text 2</description></item></channel></rss>"""
BOOK = """<book xml:lang="de"><chapter id="1"><title>Eins</title><para>Some <em>marked</em> text.</para></chapter>
<chapter id="2"><title>Zwei</title><para>More <em>of</em> it.</para></chapter></book>"""


def test_feeds_give_records_and_books_their_text(tmp_path, run_step):
    (tmp_path / "a.rss").write_text(FEED)
    (tmp_path / "b.xml").write_text(BOOK)
    (tmp_path / "c.xml").write_bytes('<?xml version="1.0" encoding="iso-8859-1"?><r><a>é</a></r>'.encode("latin-1"))
    data, _ = run_step(read, path=tmp_path)
    rows = rows_of(data)
    assert [(r["source"], r["text"]) for r in rows] == [
        ("a.rss:1", "One\nText <b>1</b>\na\nb"),
        ("a.rss:2", "Two\nText 2"),
        ("b.xml", "Eins\nSome marked text.\nZwei\nMore of it."),
        ("c.xml", "é"),
    ]
    assert (rows[0]["title"], rows[0]["category"], rows[2]["language"]) == ("One", "a\nb", "de")
    assert reasons(data) == [("a.rss", "text outside of the records")]


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
ATTACKS = {
    "laughs.xml": f'<!DOCTYPE r [<!ENTITY l0 "lol">{LAUGHS}]><r><a>&l9;</a><a>x</a></r>',
    "attribute.xml": f'<!DOCTYPE r [<!ENTITY l0 "lol">{LAUGHS}]><r><a b="&l9;"/></r>',
    "file.xml": '<!DOCTYPE r [<!ENTITY f SYSTEM "file:///etc/passwd">]><r><a>&f;</a></r>',
    "parameter.xml": '<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p;]><r><a>t</a></r>',
}


def test_xml_attacks_are_refused_and_counted(tmp_path, run_step):
    for name, content in ATTACKS.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "z.xml").write_text("<r><a>good</a></r>")
    data, card = run_step(read, path=tmp_path)
    assert {s for s, _ in reasons(data)} == set(ATTACKS)
    assert card.metrics["dropped: refused"] >= 3
    assert texts(data) == [("z.xml", "good")]


BROKEN = {
    "empty.xml": (b"", "empty file", 0),
    "text.xml": (b"no markup", "not XML", 0),
    "cut.xml": (b"<r><p><t>one</t></p><p><t>two</t></p><p><t>thr", "not XML", 2),
    "nul.xml": (b"<r><p><t>one</t></p><p><t>two</t></p>\0", "not XML", 2),
    "blank.xml": (b"<r><a/></r>", "XML without text", 0),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_xml_keeps_the_records_before(name, tmp_path, run_step):
    content, reason, kept = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    (tmp_path / "z.txt").write_text("good")
    data, _ = run_step(read, path=tmp_path)
    assert reasons(data) == [(name, reason)]
    assert [t for _, t in texts(data)] == [*["one", "two"][:kept], "good"]


DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="en">
<siteinfo><base>https://en.wikipedia.org/wiki/Main_Page</base></siteinfo>
<page><title>Anarchism (theory)</title><ns>0</ns><revision><timestamp>2024-01-01T00:00:00Z</timestamp>
<contributor><username>Ann</username></contributor><model>wikitext</model>
<text>{{Infobox|a=[[b]]}}'''Anarchism''' is a [[political philosophy|philosophy]].&lt;ref&gt;x&lt;/ref&gt;</text>
</revision></page>
<page><title>Anarchist</title><ns>0</ns><redirect title="Anarchism"/><revision>
<text>#REDIRECT [[A]]</text></revision></page>
<page><title>Talk:X</title><ns>1</ns><revision><text>hm</text></revision></page>
<page><title>Empty</title><ns>0</ns><revision><text>{{only|a template}}</text></revision></page></mediawiki>"""


def test_wiki_dumps_page_by_page(tmp_path, run_step):
    (tmp_path / "pages-articles.xml.bz2").write_bytes(bz2.compress(DUMP.encode()))
    data, _ = run_step(read, path=tmp_path)
    assert rows_of(data) == [
        {
            "source": "pages-articles.xml.bz2:1",
            "text": "Anarchism is a philosophy.",
            "title": "Anarchism (theory)",
            "author": "Ann",
            "date": "2024-01-01T00:00:00Z",
            "language": "en",
            "url": "https://en.wikipedia.org/wiki/Anarchism_(theory)",
        }
    ]
    assert [reason for _, reason in reasons(data)] == [
        "wiki redirect",
        "wiki page of namespace 1",
        "wiki page without text",
    ]


def test_a_missing_library_is_named(tmp_path, run_step, monkeypatch):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4")
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(MissingDependency, match="reading PDF needs the package 'pypdf'"):
        run_step(read, path=tmp_path)


def test_a_feed_says_url_date_and_author_as_pages_do(tmp_path, run_step):
    entry = (
        "<item><title>{0}</title><link>https://a.b/{0}</link><pubDate>Mon, 1 Jan</pubDate><dc:creator>Ann</dc:creator>"
    )
    items = "".join(entry.format(n) + f"<description>Text {n}</description></item>" for n in (1, 2))
    (tmp_path / "a.rss").write_text(
        f'<rss xmlns:dc="http://purl.org/dc/elements/1.1/"><channel>{items}</channel></rss>'
    )
    data, _ = run_step(read, path=tmp_path / "a.rss")
    assert [(r["url"], r["date"], r["author"]) for r in rows_of(data)] == [
        (f"https://a.b/{n}", "Mon, 1 Jan", "Ann") for n in (1, 2)
    ]
