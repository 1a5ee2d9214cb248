"""Telephone numbers, judged by the numbering plans that the library phonenumbers carries (extra `curate`).

A number that begins with + or 00 and a country code is found whatever the country. A national number is found when it
is valid in one of `regions` and something says that it is a telephone's: a word such as "phone" or "Tel." near it, a
leading 0 or area code in parentheses, or the very grouping that its region prints. Not found: bare digits without any
of these ("4155552671"), numbers in words, and numbers that no plan has given out, also where they look like a
telephone's.

Source: ITU-T E.164; numbering plans of phonenumbers (libphonenumber).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from loomwork.core.errors import MissingDependency
from loomwork.text.personal.shapes import SIX_DIGITS as GATE
from loomwork.text.personal.shapes import stands_near, words

__all__ = ["GATE", "PREFILTER", "PRIORITY", "canonical", "find"]
REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "PL", "BR", "SE", "JP", "CN", "IN")
PREFILTER = "[0-9](?:[ ()./\u00a0\u202f\u2011-]{0,3}[0-9]){6}"
PRIORITY = -2  # other kinds of digits with a check go first
FEWEST, MOST = 7, 15  # digits of a number; E.164 has at most 15
FEWEST_UNNAMED = 9  # where only the form says that it is a telephone's: 1609-2277 are pages
GAP = "[ \u00a0\u202f().\u2011/-]"
DIGITS = re.compile(rf"[0-9](?:{GAP}{{0,3}}+[0-9]){{6,}}+")  # begins with a set, so the search skips fast
BEFORE = re.compile(r"(?:[0-9A-Za-z_]|[0-9A-Za-z][.,/-]|[0-9]:|[0-9]-|[$€£¥₹#§] ?)\Z")
AHEAD = re.compile(r"[0-9A-Za-z_]*[A-WYZa-wyz_]|[.,:/-][0-9]| ?[%€£$°]")
LEAD = re.compile(r"(?:\(\+|\+ ?\(?|\()\Z")
EXTENSION = re.compile(r" ?,? ?(?:x|ext\.?|extension) ?[0-9]{1,6}(?![0-9A-Za-z_])", re.IGNORECASE)
GROUP = re.compile(r"[0-9]+")
NUMBER = re.compile(r"[0-9]{4,}|\]")  # or what redaction left of one
NEAR = words(
    r"tel(?:\.|efono|éfono|efon|efoon|efone|ephones?)?(?:nummer|nr\.?|no\.?)?",
    "phones?|mobiles?|cell|fax|call|dial|ring|sms|text me|whatsapp|hotline|helpline",
    "mobil|handy|rufnummer|anrufen|ruf(?:en)?|nummer",
    "téléphone|portable|appel(?:er|ez)",
    "móvil|celular|llama(?:r|me)?|llame|ligue|ligar",
    "cellulare|chiam(?:are|ata|i)|numero",
    "bel(?:len)?|ringa|komórka|numer|zadzwoń|dzwonić",
)
NEAR_CJK = re.compile("電話|携帯|连络|电话|手机|联系|拨打|致电|TEL|फोन|मोबाइल")
# Dates, spans of years, decimals, IP addresses, a year in parentheses, rows of single digits, more than one slash.
OTHER_FORM = re.compile(
    r"^(?:(?:19|20)[0-9]{2}[./-](?:0?[1-9]|1[0-2])[./-](?:[0-2]?[0-9]|3[01])(?:[ T].*)?|"
    r"[0-3]?[0-9][./-][0-3]?[0-9][./-](?:19|20)[0-9]{2}(?:[ T].*)?|"
    r"(?:1[5-9]|20)[0-9]{2} ?[-/] ?(?:1[5-9]|20)[0-9]{2}|\+?[0-9]{4,}\.[0-9]+|[0-9]{1,3}(?:\.[0-9]{1,3}){3})$|"
    r"\((?:1[6-9]|20)[0-9]{2}\)|(?:[0-9] ){4}|/.*/"
)
ZIP = re.compile("[A-Z]{2} $")  # MA 01760-2098
PLAIN = re.compile(  # a decimal, a long number, a date with or without a time: most of the rows of digits in real texts
    r"(?:[0-9]+\.[0-9]+|[0-9]{16,}|"
    r"(?:19|20)[0-9]{2}[./-](?:0[1-9]|1[0-2])[./-](?:[0-2][0-9]|3[01])(?:[ .-][0-9]{2}(?:[.-][0-9]{2})?)?)\Z"
)
YEAR = re.compile("(?:19|20)[0-9]{2}")
OTHER = re.compile(
    r"(?:isbn|issn|doi|ean|upc|gtin|iban|bsn|ssn|cpf|pesel|nif|vat|patent|serial|order|invoice|ticket|bug|issue|rfc|id|"
    r"no|nr|pmid|arxiv)[- ]?(?:1[03])?(?:[- ]?(?:number|no|nr))?[.:#]{0,2} ?#?$",
    re.IGNORECASE,
)
THOUSANDS = re.compile("[0-9]{1,3}(?:[ \u00a0\u202f.][0-9]{3})+")


def find(text: str, regions: Sequence[str] = REGIONS) -> Iterator[tuple[int, int]]:
    """Spans of the telephone numbers in a text.

    Args:
        text: any text.
        regions: two-letter codes of the countries whose national numbers are looked for.
    """
    chosen = tuple(regions)
    for match in DIGITS.finditer(text):
        lead = LEAD.search(text, max(0, match.start() - 3), match.start())
        if not lead and PLAIN.match(match[0]):
            continue
        start, end = lead.start() if lead else match.start(), match.end()
        if sum(map(len, GROUP.findall(match[0]))) > 2 * MOST or AHEAD.match(text, end):
            continue
        if BEFORE.search(text, max(0, start - 2), start):
            continue
        for first, last in _windows(text, start, end):
            if _is_phone(text, first, last, chosen):
                extension = EXTENSION.match(text, last)
                yield first, extension.end() if extension else last
                break


def _windows(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The run, then without its last and its first groups that spaces part, as a number may follow or lead."""
    value = text[start:end]
    spaces = [m.span() for m in re.finditer("[ \u00a0\u202f]+", value)]
    yield start, end
    for left, _ in spaces[:-4:-1]:
        yield start, start + len(value[:left].rstrip("(-./"))
    for left, right in spaces[:1]:
        if value[right] in "+(" or (value[right] == "0" and YEAR.fullmatch(value[:left])):
            yield start + right, end


def _is_phone(text: str, start: int, end: int, regions: tuple[str, ...]) -> bool:
    value = text[start:end]
    if value.startswith("(+"):  # the country code alone in parentheses
        value = value[1:].replace(")", "", 1)
    if value[0] == "+":
        value = value.replace("/", " ")
    groups = GROUP.findall(value)
    count = sum(map(len, groups))
    if not FEWEST <= count <= MOST + 3 or OTHER_FORM.search(value) or value.count("(") != value.count(")"):
        return False
    if value[0] == "+":
        return _valid(value, ())
    if groups[0].startswith("00") and len(groups[0]) < 12 and groups[0][2:3] != "0":
        return _valid("+" + value[2:], ())
    if OTHER.search(text[max(0, start - 24) : start]):
        return False
    since = max((m.end() for m in NUMBER.finditer(text, max(0, start - 32), start)), default=start - 32)
    named = stands_near(NEAR, text, start, end, start - since, 0)  # in lists each number has its own word, or none
    if named or NEAR_CJK.search(text, max(0, start - 12), start):
        return _valid(value, regions)
    return _looks_like_one(value, groups, text[max(0, start - 3) : start]) and _valid(
        value, regions, grouped=value[0] not in "0("
    )


def _looks_like_one(value: str, groups: list[str], before: str) -> bool:
    """Whether the form alone may say that a national number is a telephone's."""
    count = sum(map(len, groups))
    if count < FEWEST_UNNAMED or "123456789" in "".join(groups) or ZIP.search(before) or YEAR.fullmatch(groups[-1]):
        return False
    if len(groups) == 1:
        return value[0] == "0" and value[1] != "0" and 10 <= count <= 11
    if "." in value:
        return [len(group) for group in groups] == [3, 3, 4]
    return not THOUSANDS.fullmatch(value) and sum(len(group) == 1 for group in groups) <= 2


@functools.lru_cache(1 << 14)
def _valid(value: str, regions: tuple[str, ...], *, grouped: bool = False) -> bool:
    """Whether a plan has such a number: of any country for a value with +, else of one of the regions.

    Args:
        value: as it is written.
        regions: where a national number may belong.
        grouped: its groups must be those that the region prints.
    """
    library = _library()
    for region in regions or ("ZZ",):
        try:
            number = library.parse(value, region)
        except library.NumberParseException:
            continue
        if not library.is_valid_number(number) or (regions and library.region_code_for_number(number) != region):
            continue
        if not grouped or _prints(library, number) == GROUP.findall(value):
            return True
    return False


def _prints(library: Any, number: Any) -> list[str]:
    """The groups of digits in which the number's region prints it."""
    return GROUP.findall(library.format_number(number, library.PhoneNumberFormat.NATIONAL))


def canonical(value: str) -> str:
    """The digits, a leading 00 as +; the same number with and without its country code stays two."""
    body = EXTENSION.sub("", value)
    digits = "".join(GROUP.findall(body.replace("(0)", "")))
    return "+" + digits if body.startswith(("+", "(+")) else "+" + digits[2:] if digits.startswith("00") else digits


def prepare() -> None:
    """Refuse early where the library is missing.

    Raises:
        MissingDependency: phonenumbers is not installed.
    """
    _library()


def unknown_regions(regions: Sequence[str]) -> list[str]:
    """Those of the codes that no numbering plan has."""
    return [region for region in regions if region not in _library().SUPPORTED_REGIONS]


def known_regions() -> list[str]:
    """The codes of all countries with a numbering plan."""
    return sorted(_library().SUPPORTED_REGIONS)


def _library() -> Any:
    try:
        import phonenumbers
    except ModuleNotFoundError:
        raise MissingDependency("the detector of phone numbers", "phonenumbers", "curate") from None
    return phonenumbers
