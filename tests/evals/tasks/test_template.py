"""Templates: what they make is what plain Jinja makes; what they may not have, and what never ends, is refused."""

from __future__ import annotations

import threading
from typing import Any

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.core.errors import InputError
from loomwork.evals.tasks.template import fault_of, fills_in_null, render

SAME = [
    "{{ q ~ 1 ~ xs }}|{{ 'a' ~ ('b' ~ q) }}\n",
    "{% for x in xs %}{{ loop.index }}/{{ loop.length }}{{ x }}{{ ', ' if not loop.last }}{% else %}-{% endfor %}\n\n",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for x in xs if x != 2 %}{% for y in range(3) %}{{ x * y }}{% endfor %}{% endfor %}",
    "{% for x in xs | map('string') %}{{ x }}{% endfor %}{{ xs | map('string') | join('-') }}",
    "{% set ns = namespace(n=0) %}{% for x in xs %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}",
    "{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(q) }}{{ '%s: %05.1f' % (q, 2) }}",
    "{{ q.split(' ')[:-1] | join(' ') }}{{ xs[0] + xs[-1] ** 2 }}{{ 'ab' * 3 }}{{ xs + [4] }}",
    "{{ q if q is defined else nothing }}{{ d.text }}{{ d['text'] | upper | replace('X', 'y') }}",
]


@pytest.mark.parametrize("template", SAME)
def test_the_sandbox_makes_what_lm_evals_jinja_makes(shipped, template: str) -> None:
    from lm_eval.utils import apply_template

    document = {"q": "who is it", "xs": [1, 2, 3], "d": {"text": "x", "more": None}}
    assert render(template, document) == apply_template(template, document)


def test_regex_replace_is_lm_evals(shipped) -> None:
    from lm_eval.utils import apply_template

    template = "{{ q | regex_replace('([a-z])o', '\\\\1.', 1) }} {{ q | regex_replace('o', '') }}"
    document = {"q": "so no to go"}
    assert render(template, document) == apply_template(template, document) == "s. no to go s n t g"


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), st.text() | st.integers() | st.lists(st.text(max_size=5)), min_size=3))
def test_any_columns_render_as_plain_jinja_renders_them(document: dict[str, Any]) -> None:
    template = "{{ a }} {{ b ~ c }}\n{% for x in [a, b] %}{{ x }}{% endfor %}"
    plain = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    assert render(template, document) == plain.from_string(template).render(document)


ENDLESS = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in q %}" * 12 + "{% endfor %}" * 12,
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% set n = namespace(v='aaaaaaaa') %}{% for i in range(60) %}{% set n.v = n.v ~ n.v %}{% endfor %}",
    "{% set n = namespace(v='aaaaaaaa') %}{% for i in range(60) %}{% set n.v = n.v + n.v %}{% endfor %}",
    "{% set n = namespace(v=[1]) %}{% for i in range(60) %}{% set n.v = n.v * 9 %}{% endfor %}",
    "{{ 'a' * 10000000000 }}",
    "{{ 10000000000 * [1] }}",
    "{{ 2 ** 99999999999 }}",
    "{{ 'a'.ljust(9999999999) }}",
    "{{ '%9999999999s' % 1 }}",
    "{{ '%*d' % (99999999, 1) }}",
]


@pytest.mark.parametrize("template", ENDLESS)
def test_what_never_ends_is_refused(template: str) -> None:
    with pytest.raises(InputError, match="does not end"):
        render(template, {"q": "some text"}, "doc_to_text")
    assert render("{{ q }}", {"q": "x"}) == "x"  # the next has its own budget


REACHING = [
    "{{ q.__class__.__mro__ }}",
    "{{ ''.__class__.__base__.__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.popen('id') }}",
    "{{ lipsum.__globals__ }}",
    "{{ (q | attr('__class__')).__name__ }}",
    "{{ '{0.__class__}'.format(q) }}",
    "{{ xs.append(1) }}",
    "{{ d.update({1: 2}) }}",
]


@pytest.mark.parametrize("template", REACHING)
def test_what_reaches_out_of_the_sandbox_is_refused(template: str) -> None:
    xs = [1]
    with pytest.raises(InputError, match=r"may not have|does not have"):
        render(template, {"q": "x", "xs": xs, "d": {}})
    assert xs == [1]


def test_an_undefined_name_gets_the_nearest_column() -> None:
    with pytest.raises(InputError, match=r"doc_to_text uses .*'qestion' is undefined\n  did you mean 'question'"):
        render("{{ qestion }}", {"question": 1, "answer": 2}, "doc_to_text")
    with pytest.raises(InputError, match="fails on this document: ZeroDivisionError"):
        render("{{ question / 0 }}", {"question": 1})
    with pytest.raises(InputError, match=r"fails on this document: .*loader"):
        render("{% include '/etc/passwd' %}", {"question": 1})
    with pytest.raises(InputError, match="fails on this document"):
        render("{{ 'a' | regex_replace('(', '') }}", {})
    with pytest.raises(InputError, match="fails on this document"):
        render("{% for a in q %}" * 30 + "{% endfor %}" * 30, {"q": "too deep for Python"})


def test_syntax_faults_have_their_line() -> None:
    assert fault_of("{{ ok }}") is None
    fault = fault_of("fine\n{% if x %}")
    assert fault is not None
    assert fault[1] == 2


def test_threads_have_budgets_of_their_own() -> None:
    made: list[str] = []
    template = "{% for i in range(90000) %}{% for j in [1, 2, 3] %}{% endfor %}{% endfor %}ok"
    threads = [threading.Thread(target=lambda: made.append(render(template, {}))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["ok"] * 4


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("of {{a}}?", True),
        ("of {{deep.a}}?", True),
        ("{{ 'of ' ~ a }}", True),
        ("{% if a %}{{a}}{% endif %}of {{b}}", False),
        ("{{ a is none }} {{ a or b }}", False),
        ("a null that is not read", False),
    ],
)
def test_a_null_in_the_text_is_noticed_and_stays_what_it_is_in_jinja(template: str, wanted: bool) -> None:
    document = {"a": None, "b": "x", "deep": {"a": None}}
    assert fills_in_null(template, document) == wanted
    assert render(template, document) == jinja2.Template(template).render(document)
