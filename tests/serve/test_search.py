"""Answers from an index: the function, the page and the JSON."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser

import httpx
import pytest

from loomwork.core.artifact import Index, Model
from loomwork.core.errors import InputError, LostArtifact
from loomwork.core.home import open_home
from loomwork.serve.answer import open_answers, stale_reasons
from loomwork.serve.app import build_app
from loomwork.serve.events import read_events
from loomwork.serve.search_page import marked

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}&amp;'x"


class Tags(HTMLParser):
    """What a browser would make of a page: its tags, their attributes and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.text += data


def test_the_right_function_comes_first_with_its_row_id(docs_home):
    answers = open_answers(docs_home, "docs")
    hits = answers.ask("merge several sorted inputs into one sorted output", 3)
    assert hits[0].columns["name"] == "heapq.merge"
    assert len(hits) == 3
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    assert re.fullmatch("[0-9a-f]{32}", hits[0].row_id)
    assert answers.model == docs_home.open("docs", Model)
    by_id = open_answers(docs_home, answers.index.id).ask("merge several sorted inputs into one sorted output", 3)
    assert [h.row_id for h in by_id] == [h.row_id for h in hits]


def test_an_index_without_vectors_answers_by_words(docs_home):
    answers = open_answers(docs_home, "words")
    assert answers.encoder is None
    assert answers.ask("wrap a single paragraph of text", 1)[0].columns["name"].startswith("textwrap")
    assert answers.ask("zxqv", 3) == []


def test_what_cannot_answer_says_why(docs_home, stories_home, tmp_path):
    with pytest.raises(InputError, match="did you mean 'docs@"):
        open_answers(docs_home, "docs@indx")
    with pytest.raises(InputError, match="no name stories@index"):
        open_answers(stories_home, "stories")
    with pytest.raises(InputError, match="question is empty"):
        open_answers(docs_home, "words").ask("  ")
    other = open_home(tmp_path / ".loom")
    index = docs_home.open("docs@index", Index)
    shutil.copytree(index.path, tmp_path / "index", copy_function=shutil.copyfile)
    other.ledger.move_name("docs", "index", other.store.publish(tmp_path / "index", "index"))
    with pytest.raises(LostArtifact, match=docs_home.open("docs", Model).id):
        open_answers(other, "docs")
    with pytest.raises(InputError, match="has no vectors"):
        build_app(docs_home, "words")


def test_stale_is_said_with_its_reason(stories_home):
    assert stale_reasons(stories_home, "a" * 64) == []
    stories_home.ledger.add_events("stale", {"a" * 64: {"because": "rows were forgotten", "rows": []}})
    assert stale_reasons(stories_home, "a" * 64) == ["rows were forgotten"]


def test_the_page_shows_passages_with_score_row_and_trace(docs, docs_home):
    answer = httpx.get(f"{docs}/search", params={"q": "merge sorted inputs", "k": 3})
    page = Tags(answer.text)
    assert page.tags.count("h2") == 3
    assert "heapq.merge" in page.text
    first = httpx.get(f"{docs}/search.json", params={"q": "merge sorted inputs", "k": 3}).json()["data"][0]
    assert f"loom lineage {first['row_id']}" in page.text
    assert f"{first['score']:.2f}" in page.text
    assert "script" not in page.tags
    assert not [v for n, v in page.attributes if n in ("src", "style") or n.startswith("on")]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-loomwork-artifact"] == docs_home.open("docs@index", Index).id


def test_a_hostile_question_is_text(docs):
    answer = httpx.get(f"{docs}/search", params={"q": HOSTILE})
    page = Tags(answer.text)
    assert answer.status_code == 200
    assert {"script", "img"}.isdisjoint(page.tags)
    assert ("value", HOSTILE) in page.attributes
    assert "49" not in page.text.partition("·")[0]


def test_a_hostile_passage_is_text():
    shown = marked("<b>merge</b> & <script>merge()</script>", "merge <script>")
    assert "<b>" not in shown
    assert "<script>" not in shown
    assert shown.count("<mark>merge</mark>") == 2


@pytest.mark.parametrize("k", ["0", "51", "x", "-1", "1e9"])
def test_a_wrong_k_is_said_on_the_page_and_in_the_json(docs, k):
    page = httpx.get(f"{docs}/search", params={"q": "heap", "k": k})
    assert page.status_code == 400
    assert "k: input should be" in page.text
    assert httpx.get(f"{docs}/search.json", params={"q": "heap", "k": k}).json()["error"]["param"] == "k"


def test_questions_at_the_edges(docs):
    assert httpx.get(f"{docs}/search").status_code == 200
    assert httpx.get(f"{docs}/search.json").status_code == 400
    assert httpx.get(f"{docs}/search.json", params={"q": " "}).status_code == 400
    assert httpx.get(f"{docs}/search", params={"q": "x" * 2001}).status_code == 400
    assert httpx.get(f"{docs}/search?q=%ff%fe%00").status_code == 200
    assert httpx.get(f"{docs}/", follow_redirects=True).url.path == "/search"


def test_a_service_without_an_index_says_so(stories):
    assert "no index" in httpx.get(f"{stories}/search", params={"q": "heap"}).text
    assert httpx.get(f"{stories}/search.json", params={"q": "heap"}).json()["error"]["code"] == "no_index"


def test_the_rows_of_an_answer_are_in_its_event(docs_home, serve):
    with serve(docs_home, "docs") as url:
        answer = httpx.get(f"{url}/search.json", params={"q": "bisect a list"})
    rows = [hit["row_id"] for hit in answer.json()["data"]]
    found = read_events(docs_home.root / "service.db", row_id=rows[0])
    assert answer.headers["x-request-id"] in [event["id"] for event in found]
    event = next(e for e in found if e["id"] == answer.headers["x-request-id"])
    assert (event["row_ids"], event["items"], event["route"]) == (rows, 5, "/search.json")
