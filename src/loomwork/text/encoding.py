"""Which character encoding the bytes of a text are in.

UTF-8 is certain where it fits: other text hardly ever is valid UTF-8 by chance. What a text declares of itself counts
next, if it fits. Then charset-normalizer guesses. It often takes the wrong one of the many encodings for languages in
Latin letters, which differ in a few bytes; these are told apart by the letters that each language has.
"""

from __future__ import annotations

import codecs
import re
from functools import cache

MARKS = (  # the longer first: that of UTF-32-LE begins with that of UTF-16-LE
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
DECLARED = re.compile(rb"""(?:charset|encoding|coding)\s*[:=]\s*["']?\s*([A-Za-z][\w.:-]{2,20})""", re.IGNORECASE)
# What the Encoding Standard reads under a label: a superset, which is what such texts are in truth.
SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
OLD_NAMES = {"x-sjis": "cp932", "x-gbk": "gb18030", "x-euc-jp": "euc_jp", "x-mac-cyrillic": "mac-cyrillic"}
ESCAPED = ((b"\x1b$)C", "iso2022_kr"), (b"\x1b$", "iso2022_jp_2"), (b"\x1b(", "iso2022_jp_ext"))
LANGUAGES = (  # the letters beyond a to z
    "áčďéěíňóřšťúůýž",
    "áäčďéíĺľňóôŕšťúýž",
    "ąćęłńóśźż",
    "áéíóöőúüű",
    "čćđšž",
    "ăâîşţșț",
    "çğıöşüâîûİ",
    "äöüß",
    "àâæçèéêëîïôœùûüÿ",
    "áéíñóúü¿¡",
    "áâãàçéêíóôõúü",
    "àèéìíîòóùú",
    "åäöæøéüà",
    "áæðéíóöúýþ",
    "äõöüšž",
    "āčēģīķļņšūž",
    "ąčęėįšųūž",
    "àçèéíïòóúü·",
    "äëéöüèêôçïâ",
    "áéíóúñüäëïö¿¡",
    "àáçèéëíïòóúñü",
    "âêîôûïäëöüáàéèù",
    "ãâêîôõñ",
)
COMMON = ("cp1252", "cp1250", "iso8859-2", "cp1254", "cp1257", "iso8859-15", "iso8859-13")  # the first of equals wins
RARE = (*("cp850", "cp852", "mac-roman", "mac-latin2", "cp437", "iso8859-4", "iso8859-10", "iso8859-16", "cp775"),)
ENOUGH = 0.3  # a common encoding that fits so well is taken before a rare one that fits better
OTHER_LETTERS = ("cp1251", "koi8-r", "iso8859-5", "cp866", "cp1253", "cp1255", "cp1256", "cp874")
PUNCTUATION = frozenset("“”„‟‘’‚‹›«»–—…•·°§©®™€£¥¢×÷±½¼¾¹²³´¨µ¶ªº\xa0\xad¿¡")
IN_WORDS = frozenset("’‘·\xa0\xad–—…´ªº°²³")  # the punctuation that may have letters on both sides
ALONE = 2.0  # letters beyond ASCII stand among others in Latin writing: their runs are shorter on average
# Guesses that are nearly always wrong: they have an answer for any bytes, or nobody writes them any more.
NEVER = [
    *("shift_jis_2004", "shift_jisx0213", "euc_jis_2004", "euc_jisx0213", "hz", "utf_7", "ptcp154", "kz1048", "cp720"),
    *("cp037", "cp1026", "cp1140", "cp273", "cp424", "cp500", "cp875", "cp1006", "cp1125", "cp858", "cp860", "cp861"),
    *("cp862", "cp863", "cp864", "cp865", "cp869", "koi8_t", "mac_iceland", "mac_turkish", "iso8859_14"),
]
THAI_MARK_AT_A_START = re.compile("(?<![\u0e01-\u0e5b])[\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]")  # no Thai text has that
UTF8_SHARE = 0.8  # of the sequences beyond ASCII that are UTF-8, in a text that is, but for some damage
MIXED = "utf-8+cp1252"  # Python has no such codec; readers/_decoded.py decodes it
MIXED_ASCII = 0.9  # of the bytes of such a text: where letters of another script are cut apart, there are fewer
MIXED_RATIO = 2  # so many sequences are UTF-8 for each that is not, in a text that is mixed before other guesses
CONTROLS = re.compile(rb"[\0-\x08\x0e-\x1f\x7f]")
NOT_CP1252 = frozenset(b"\x81\x8d\x8f\x90\x9d\xff")  # the first five have no character; 0xff is damage, and hardly "ÿ"


def marked(block: bytes) -> tuple[str, int]:
    """The encoding that a byte-order mark at the beginning says, and the mark's length; ("", 0) without one."""
    return next(((name, len(mark)) for mark, name in MARKS if block.startswith(mark)), ("", 0))


def wide(block: bytes) -> str:
    """UTF-16 or UTF-32 without a mark, told by where its zero bytes are; "" for any other."""
    sample = block[: 1 << 12]
    sample = sample[: len(sample) // 4 * 4]
    if len(sample) < 8 or sample.count(0) < len(sample) // 8:
        return ""
    zero = [sample[i::4].count(0) * 4 / len(sample) for i in range(4)]
    for name, empty in (("utf-32-be", (0, 1)), ("utf-32-le", (2, 3)), ("utf-16-be", (0, 2)), ("utf-16-le", (1, 3))):
        full = [zero[i] for i in range(4) if i not in empty]
        outer = zero[0 if name.endswith("be") else 3]  # in UTF-32 never anything but zero
        if "32" in name and outer < 1:
            continue
        if min(zero[i] for i in empty) > 0.4 and (min(full) < 0.2 if "32" in name else max(full) < 0.2):
            return name if decodes(sample, name) else ""
    return ""


def looks_utf8(block: bytes) -> bool:
    """Whether a block, which may end in the middle of a character, is UTF-8, damaged in a few places at most."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(block)
        return True
    except UnicodeDecodeError:
        pass
    text = block.decode("utf-8", "surrogateescape")
    wrong = len(re.findall("[\udc80-\udcff]+", text))
    right = len(re.findall("[\x80-\ud7ff\ue000-\U0010ffff]", text))
    return right * (1 - UTF8_SHARE) >= wrong * UTF8_SHARE


def is_mixed(block: bytes, ratio: float = MIXED_RATIO) -> bool:
    """Whether a block, which may end in the middle of a character, is UTF-8 with single bytes of cp1252 among it, as
    where texts of both were joined: nearly all is ASCII, and each byte that is not UTF-8 is a character of cp1252.

    Args:
        block: the bytes.
        ratio: how many sequences must be UTF-8 for each that is not.
    """
    text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(block)
    wrong = "".join(re.findall("[\udc80-\udcff]+", text)).encode("utf-8", "surrogateescape")
    beyond = len(block.translate(None, bytes(range(128))))
    right = len(re.findall("[\x80-\ud7ff\ue000-\U0010ffff]", text))
    if not wrong or right < ratio * len(wrong) or beyond > (1 - MIXED_ASCII) * len(block):
        return False
    return NOT_CP1252.isdisjoint(wrong) and not CONTROLS.search(block)


def decodes(sample: bytes, name: str) -> bool:
    """Whether a sample, which may end in the middle of a character, is text of an encoding."""
    try:
        codecs.getincrementaldecoder(name)().decode(sample)
    except (UnicodeError, LookupError):
        return False
    return True


def declared(begin: bytes) -> str:
    """The encoding that the beginning of a text (XML, HTML, an e-mail, a program) names; "" for none that is known."""
    found = DECLARED.search(begin)
    if not found:
        return ""
    try:
        label = found[1].decode("ascii").lower()
        info = codecs.lookup(OLD_NAMES.get(label, label))
    except LookupError:
        return ""
    return info.name if getattr(info, "_is_text_encoding", True) else ""


def detect(sample: bytes, begin: bytes = b"") -> str | None:
    """The encoding of a text that is not UTF-8.

    Args:
        sample: its bytes, from where they stop being ASCII; may end in the middle of a character.
        begin: the beginning of the text, which may say its encoding.

    Returns: a name that Python knows; None where there is no telling.
    """
    said = declared(begin)
    for name in (SUPERSETS.get(said, said), said):
        if name and not name.startswith(("utf", "ascii")) and decodes(sample, name):
            return name
    for mark, name in ESCAPED:
        if mark in sample and decodes(sample, name):
            return name
    if sample.isascii():
        return None
    guess = _japanese(sample) or _guess(sample)
    runs = re.findall(rb"[\x80-\xff]+", sample)
    if sum(map(len, runs)) < ALONE * len(runs):
        return _latin(sample) or guess or None
    if guess and not _is_latin(sample.decode(guess, "replace")):
        return guess
    return _of_script(sample) or _latin(sample) or guess or None


def _japanese(sample: bytes) -> str:
    """The encoding in which every third character is hiragana, as in no other language; "" if there is none."""
    for name in ("cp932", "euc_jp"):
        if decodes(sample, name):
            beyond = [c for c in sample.decode(name, "ignore") if c > "\x7f"]
            if sum("\u3041" <= c <= "\u3096" for c in beyond) * 3 > len(beyond):
                return name
    return ""


def _of_script(sample: bytes) -> str:
    """An encoding in which the bytes beyond ASCII are words of Cyrillic, Greek, Hebrew, Arabic or Thai letters;
    "" if there is none.
    """
    for name in OTHER_LETTERS:
        beyond = [c for c in sample.decode(name, "replace") if c > "\x7f" and c not in PUNCTUATION]
        letters = [c for c in beyond if c.isalpha() and c > "\u024f"]
        upper = sum(c.isupper() for c in letters)
        if len(letters) > 0.95 * len(beyond) and upper * 2 < len(letters):
            return name
    return ""


def _guess(sample: bytes) -> str:
    """charset-normalizer's guess, if it is installed and has one."""
    try:
        from charset_normalizer import from_bytes
    except ModuleNotFoundError:
        return ""
    best = from_bytes(sample[: 1 << 16], cp_exclusion=NEVER).best()
    if best is None:
        return ""
    name = codecs.lookup(best.encoding).name
    if name == "tis-620" or name == "cp874":
        text = sample.decode(name, "replace")
        return "" if THAI_MARK_AT_A_START.search(text) else "cp874"
    return next((n for n in (SUPERSETS.get(name, name), name) if decodes(sample, n)), "")


def _is_latin(text: str) -> bool:
    beyond = [c for c in text if c > "\x7f" and c.isalpha()]
    return sum(c < "\u0250" for c in beyond) * 2 >= len(beyond)


def _latin(sample: bytes) -> str:
    """The encoding in which the bytes beyond ASCII are the letters of one language; "" if there is none."""
    for names in (COMMON, RARE):
        best, chosen = ENOUGH, ""
        for name in names:
            if decodes(sample, name):
                seen = _seen(sample, name)
                score = max(_fit(seen, letters) for letters in LANGUAGES)
                if score > best + 1e-9:
                    best, chosen = score, name
        if chosen:
            return chosen
    return ""


def _seen(sample: bytes, name: str) -> list[tuple[str, bool]]:
    """The characters beyond ASCII, and whether each can stand where it stands: as a capital, or within a word."""
    text = sample[: 1 << 15].decode(name, "ignore")
    found = []
    for at, c in enumerate(text):
        if c > "\x7f":
            before, after = text[at - 1 : at], text[at + 1 : at + 2]
            if c in PUNCTUATION:
                fits = c in IN_WORDS or not (before.isalpha() and after.isalpha())
            elif c.isupper():
                fits = not before.islower() and (before.isalpha() or after.isalpha())
            else:
                fits = not (before.isupper() and after.isupper())
            found.append((c, fits))
    return found


def _fit(seen: list[tuple[str, bool]], letters: str) -> float:
    """How well characters fit a language: 1 where all are its letters, less for what it does not have."""
    known = _both_cases(letters)
    value = 0.0
    for c, fits in seen:
        value += -1.0 if not fits else 1.0 if c in known else 0.5 if c in PUNCTUATION else -1.0
    return value / len(seen) if seen else 0.0


@cache
def _both_cases(letters: str) -> frozenset[str]:
    return frozenset(letters + letters.upper())
