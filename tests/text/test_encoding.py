"""Encodings of real texts, by the folder or file name that says them."""

from __future__ import annotations

import pytest

from loomwork.text.encoding import declared, detect, is_mixed, looks_utf8, marked, wide

# The codec of each folder of web/encodings, where it is not the folder's name up to its language.
CODECS = {
    "MacCyrillic": "mac-cyrillic",
    "IBM855": "cp855",
    "IBM866": "cp866",
    "SHIFT_JIS": "cp932",
    "GB2312": "gb18030",
}
SINGLE = ("iso-8859-", "windows-")
UDHR = {
    **{"Latin1": ["cp1252"], "Latin2": ["iso8859-2", "cp1250"], "UTF8": ["utf-8"], "Cyrillic": ["cp1251"]},
    **{"Greek": ["iso8859-7"], "Hebrew": ["cp1255"], "Turkish": ["cp1254"], "Baltic": ["cp1257"], "EUC": ["euc_jp"]},
}


def encoding_of(content: bytes) -> tuple[str, int]:
    """As reading decides it: mark, zero bytes, UTF-8, detection."""
    name, mark = marked(content)
    if name or (name := wide(content)):
        return name, mark
    if looks_utf8(content) and b"\x1b" not in content:
        return "utf-8", 0
    return detect(content, content[:4096]) or "utf-8", 0


def test_at_least_95_percent_of_real_files_are_decoded_right(test_data, capsys):
    """Files of chardet's own test set. What counts is the text: a superset of the encoding is as good.

    EUC-TW, which Python cannot decode, counts as wrong.
    """
    files = sorted(p for p in (test_data / "web/encodings").rglob("*") if p.is_file())
    wrong = []
    for path in files:
        content, folder = path.read_bytes(), path.parent.name
        codec = CODECS.get(folder) or (
            "-".join(folder.split("-")[: 3 if "iso" in folder else 2]) if "-" in folder else folder
        )
        codec = codec if folder.startswith(SINGLE) else CODECS.get(folder, folder)
        name, mark = encoding_of(content)
        try:
            right = content.decode(codec).lstrip("\ufeff") == content[mark:].decode(name, "replace")
        except LookupError:
            right = False
        wrong += [] if right else [f"{folder}/{path.name}: {name}"]
    with capsys.disabled():
        print(f"\nencodings right: {len(files) - len(wrong)} of {len(files)}; wrong: {', '.join(wrong)}")
    assert len(files) == 85
    assert len(wrong) <= 0.05 * len(files)


def test_declarations_of_human_rights_are_decoded_right(test_data, capsys):
    """A second set of real files, in 150 languages, most of them rare. Some that are called Latin2 are windows-1250."""
    seen, wrong = 0, []
    for path in sorted((test_data / "web/udhr").iterdir()):
        content = path.read_bytes() if path.is_file() else b""
        for codec in (codecs := UDHR.get(path.name.rpartition("-")[2], [])):
            try:
                content.decode(codec)
            except UnicodeDecodeError:
                codecs = [c for c in codecs if c != codec]
        if not codecs or content.isascii():
            continue
        seen += 1
        text = content.decode(encoding_of(content)[0], "replace")
        wrong += [] if any(text == content.decode(c) for c in codecs) else [path.name]
    with capsys.disabled():
        print(f"\nUDHR encodings right: {seen - len(wrong)} of {seen}; wrong: {', '.join(wrong)}")
    assert seen > 150
    assert len(wrong) <= 0.05 * seen


PANGRAMS = {
    "Příliš žluťoučký kůň úpěl ďábelské ódy. Nechť již hříšné saxofony ďáblů rozezvučí síň": ["cp1250", "iso8859-2"],
    "Zażółć gęślą jaźń. Pchnąć w tę łódź jeża lub ośm skrzyń fig": ["cp1250", "iso8859-2"],
    "Dès Noël où un zéphyr haï me vêt de glaçons würmiens je dîne d’exquis rôtis": ["cp1252", "cp850", "mac-roman"],
    "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью": [
        "cp1251",
        "koi8-r",
        "cp866",
        "iso8859-5",
    ],
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία": ["cp1253", "iso8859-7"],
    "いろはにほへと ちりぬるを わかよたれそ つねならむ 有為の奥山": ["cp932", "euc_jp", "iso2022_jp"],
    "敏捷的棕色狐狸跳过了懒狗。天地玄黄,宇宙洪荒,日月盈昃,辰宿列张": ["gb18030"],
}


@pytest.mark.parametrize(("text", "codec"), [(t, c) for t, codecs in PANGRAMS.items() for c in codecs])
def test_short_texts_in_the_encodings_of_their_language(text, codec):
    content = text.encode(codec, "ignore") * 3
    assert content.decode(detect(content) or "") == content.decode(codec)


def test_utf8_with_damage_stays_utf8():
    good = "Zażółć gęślą jaźń, łódź".encode()
    assert looks_utf8(good)
    assert looks_utf8(good[:-1] + b"\xc3")  # cut in the middle of a character
    assert looks_utf8(good * 9 + b"\xff")
    assert not looks_utf8("Příliš žluťoučký".encode("cp1250"))


def test_utf8_with_single_bytes_of_cp1252_is_told_from_damage():
    plain, word = b"A text of nearly nothing but ASCII, and some more of it. " * 4, "naïve ".encode()
    assert is_mixed(plain + 2 * word + b"\xa320")
    assert is_mixed(plain + 9 * word + b"caf\xe9" + b"\xc3")  # cut in the middle of a character
    assert not is_mixed(plain + word + b"\xa320")  # as likely all of it is in another encoding
    assert is_mixed(plain + word + b"\xa320", ratio=0)
    for damage in (b"\x81", b"\xff", b"\xa3\0"):
        assert not is_mixed(plain + 9 * word + damage)
    assert not is_mixed("нечто ".encode() * 9 + b"\xd0 ")  # half a letter, and no character of cp1252
    assert not is_mixed(plain + 9 * word)


def test_no_real_file_of_one_encoding_is_taken_for_two(test_data):
    files = [p for name in ("encodings", "udhr") for p in (test_data / "web" / name).rglob("*") if p.is_file()]
    assert [p.name for p in files if is_mixed(p.read_bytes())] == []


def test_wide_text_without_a_mark_is_told_by_its_zeros():
    for codec in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        assert wide("Many a line, and another.\n".encode(codec)) == codec
    assert wide(b"plain text with one \0 in it") == wide(bytes(64)) == wide(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") == ""


def test_what_a_text_declares_counts_if_it_fits():
    assert declared(b'<?xml version="1.0" encoding="windows-1251"?>') == "cp1251"
    assert declared(b'<meta http-equiv="Content-Type" content="text/html; charset=x-sjis">') == "cp932"
    assert declared(b"# -*- coding: latin-1 -*-") == "iso8859-1"
    assert declared(b'encoding="base64"') == declared(b"charset=nonsense") == declared(b"no word of it") == ""
    assert detect("ни".encode("cp1251"), b'encoding="windows-1251"') == "cp1251"
    assert detect(b"\xff" * 8, b'encoding="utf-8"') != "utf-8"
