"""What redaction promises: nothing else changes, twice changes nothing more, one value has one pseudonym."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench._personal import labelled, negatives
from loomwork.text.personal.find import detectors, find
from loomwork.text.personal.replace import Redactor

ALL = detectors()
KEY = b"0123456789abcdefghijklmnopqrstuv"
MASK = Redactor(ALL, {d.kind: "mask" for d in ALL})
STAND_IN = Redactor(ALL, {d.kind: "pseudonymise" for d in ALL}, KEY)
SAMPLES = [sample.text for sample in labelled(3, seed=2)] + [sample.text for sample in negatives(2, seed=2)]
TEXTS = st.lists(
    st.sampled_from(SAMPLES)
    | st.text(max_size=8)
    | st.sampled_from(["@", ".", "-", "1", " ", ":", "/", "[EMAIL]", "x"]),
    max_size=6,
).map("".join)


@pytest.mark.parametrize("redactor", [MASK, STAND_IN], ids=["mask", "pseudonymise"])
@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_redacting_twice_changes_nothing_more(redactor, text):
    once = redactor(text)
    assert find(once.text, ALL) == []
    again = redactor(once.text)
    assert again.text == once.text
    assert not again.counts


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_nothing_beside_the_values_changes(text):
    """The pieces between the masks stand in the text, in order, and reach from its beginning to its end."""
    redacted = MASK(text).text
    labels = "|".join(re.escape(f"[{d.kind.upper()}]") for d in ALL)
    pieces = [re.escape(piece) for piece in re.split(labels, redacted)]
    assert re.fullmatch(".*?".join(pieces), text, re.DOTALL)


def test_every_labelled_value_that_is_found_is_gone():
    for sample in labelled(3, seed=5):
        (span,) = sample.spans
        value = sample.text[span.start : span.end]
        if any(f.start <= span.start and span.end <= f.end for f in find(sample.text, ALL)):
            assert value not in MASK(sample.text).text
            assert value not in STAND_IN(sample.text).text


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS.filter(lambda t: t.isprintable()) | st.none(), max_size=5))
def test_a_column_becomes_what_its_texts_become(texts):
    redactor = Redactor(ALL, {**STAND_IN.modes, "card": "drop", "ip": "mask"}, KEY, ["*@acme.io"])
    alone = {row: redactor(text) for row, text in enumerate(texts) if text is not None}
    column = redactor.column(pl.Series(texts, dtype=pl.String))
    assert column == {row: result for row, result in alone.items() if result.counts}


def test_a_value_that_another_one_hid_is_found_too():
    """A number right behind "8:" is taken for a piece of a longer one, until the address before it is gone."""
    text = "8.8.8.8:4111111111111111"
    assert [span.kind for span in find(text, ALL)] == ["ip"]
    assert MASK(text) == ("[IP]:[CARD]", {"ip": 1, "card": 1}, [])


def test_a_mask_is_no_word_that_makes_its_neighbour_a_finding():
    text = "mobile 020 7946 0958\nrate 206538107\nhowever 163957176\nSSN 536-90-4399 111223333 and 111224444 or BSN"
    once = MASK(text).text
    assert once.startswith("mobile [PHONE]\nrate 206538107\nhowever 163957176\nSSN [US_SSN] [US_SSN]")
    assert MASK(once).text == once
    for kind, value in (("us_ssn", "111223333"), ("phone", "4155552671"), ("nl_bsn", "111222333")):
        for mark in (f"[{kind.upper()}]", f"[{kind.upper()}:abcdefghijkowxyz]"):
            for gap in range(40):
                assert find(f"{mark}{' ' * gap}{value}", detectors([kind])) == []


def test_a_text_without_findings_is_the_same():
    for sample in negatives(2, seed=9):
        if not find(sample.text, ALL):
            assert MASK(sample.text) == (sample.text, {}, [])


def test_one_value_has_one_pseudonym_in_every_spelling():
    a = STAND_IN("Jane.Doe@acme.io 4111-1111-1111-1111").text
    b = STAND_IN("write to jane.doe@ACME.io, card 4111 1111 1111 1111!").text
    mail, card = a.split()
    assert mail in b
    assert card in b
    assert re.fullmatch(r"user-[a-z]{16}@redacted\.invalid", mail)
    assert re.fullmatch(r"\[CARD:[a-z]{16}\]", card)
    assert STAND_IN("bob@acme.io").text != mail


def test_another_key_gives_other_pseudonyms():
    other = Redactor(ALL, STAND_IN.modes, b"another key of thirty-two bytes!")
    for text in ("jane@acme.io", "8.8.8.8", "2607:f8b0::1", "GB82 WEST 1234 5698 7654 32"):
        assert other(text).text != STAND_IN(text).text


def test_pseudonyms_of_addresses_keep_their_form_and_belong_to_nobody():
    import ipaddress

    four, six = STAND_IN("8.8.8.8 2607:f8b0::1").text.split()
    assert ipaddress.ip_address(four) in ipaddress.ip_network("240.0.0.0/4")
    assert ipaddress.ip_address(six) in ipaddress.ip_network("2001:db8::/32")


def test_the_pseudonym_is_the_hmac_of_kind_and_value():
    """Computed anew, so that pseudonyms stay the same over versions: they are keys between a user's datasets."""
    import hashlib
    import hmac

    number = int.from_bytes(hmac.new(KEY, b"card\x004111111111111111", hashlib.sha256).digest()[:16], "big")
    letters = "".join("abcdefghijkowxyz"[number >> 4 * i & 15] for i in range(16))
    assert STAND_IN("4111 1111 1111 1111").text == f"[CARD:{letters}]"


def test_allowed_values_stay():
    redactor = Redactor(ALL, MASK.modes, allow=["*@acme.io", "8.8.8.8", "+44 20 7946 0958", "a[b]?c"])
    text = "Help@ACME.io joe@acme.com 8.8.8.8 8.8.4.4 +44 20 7946 0958 +44 20 7946 0959"
    assert redactor(text).text == "Help@ACME.io [EMAIL] 8.8.8.8 [IP] +44 20 7946 0958 [PHONE]"


def test_modes_by_kind():
    redactor = Redactor(ALL, {**MASK.modes, "card": "drop", "iban": "drop"})
    assert redactor("a@acme.io").text == "[EMAIL]"
    dropped = redactor("a@acme.io 4111 1111 1111 1111")
    assert dropped.text == "a@acme.io 4111 1111 1111 1111"
    assert dropped.drop == ["card"]
    assert dropped.counts == {"email": 1, "card": 1}


def test_the_redactor_shows_neither_key_nor_values():
    STAND_IN("jane@acme.io")
    assert "jane" not in repr(STAND_IN)
    assert KEY.decode() not in repr(STAND_IN)
