"""Languages of real paragraphs, against the package whose model we use, and against what file names say."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.text.language import identify, load_model, supported_languages

# Files of the Universal Declaration of Human Rights in languages that the model knows, with the encodings that their
# bytes have (the names say "Latin2" for windows-1250, "Cyrillic" for windows-1251, and so on). Left out are the
# languages and dialects it does not know, legacy font encodings, two Cyrillic files that mix in Latin letters (Bosnian,
# Serbian), files in another script than the model's (Punjabi in Arabic letters, Uighur in Latin ones), a backup copy,
# and Fula ("Peuhl"), of which the model knows another variety.
FILES = {
    "cp1252": "Achehnese=ace Afaan_Oromo_Oromiffa=om Oromiffa_AfaanOromo=om Afrikaans=af Albanian_Shqip=sq "
    "Basque_Euskara=eu Catalan=ca Catalan_Catala=ca Danish_Dansk=da Dutch_Nederlands=nl Faroese=fo Finnish_Suomi=fi "
    "Frisian=fy German_Deutsch=de HaitianCreole_Kreyol=ht Hungarian_Magyar=hu Icelandic_Yslenska=is Indonesian=id "
    "IrishGaelic_Gaeilge=ga Italian=it Italian_Italiano=it Latin_Latina=la Latin_Latina-v2=la Lingala=ln "
    "Luxembourgish_Letzebuergeusch=lb Malagasy=mg NorthernSotho_Pedi-Sepedi=nso Norwegian=no "
    "Norwegian_Norsk-Bokmal=no Norwegian_Norsk-Nynorsk=nn OccitanLanguedocien=oc Portuguese_Portugues=pt Quichua=qu "
    "ScottishGaelic_GaidhligAlbanach=gd Shona=sn Somali=so SouthernSotho_Sotho-Sesotho-Sutu-Sesutu=st "
    "Spanish_Espanol=es Swaheli=sw Swedish_Svenska=sv Welsh_Cymraeg=cy Xhosa=xh Zulu=zu",
    "utf-8-sig": "Bengali=bn Bulgarian_Balgarski=bg Burmese_Myanmar=my Chinese_Mandarin=zh Czech=cs "
    "Farsi_Persian-v2=fa Hebrew_Ivrit=he Hindi_web=hi Hungarian_Magyar=hu Igbo=ig Kannada=kn Korean_Hankuko=ko Lao=lo "
    "Maltese=mt Marathi=mr Mongolian_Khalkha=mn Nepali=ne Russian_Russky=ru Sanskrit=sa Serbian_Srpski=sr Sinhala=si "
    "Tamil=ta Turkish_Turkce=tr Vietnamese-ALRN=vi",
    "cp1250": "Bosnian_Bosanski=bs Czech=cs Czech_Cesky=cs Hrvatski_Croatian=hr Hungarian_Magyar=hu Polish=pl "
    "Serbian_Srpski=sr Slovenian_Slovenscina=sl",
    "cp1251": "Belorus_Belaruski=be Kazakh=kk Russian_Russky=ru",
    "cp1253": "Greek_Ellinika=el",
    "cp1254": "Turkish_Turkce=tr",
    "cp1255": "Hebrew_Ivrit=he",
    "iso8859-4": "Lithuanian_Lietuviskai=lt",
    "iso8859-5": "Mongolian_Khalkha=mn",
    "gb18030": "Chinese_Mandarin=zh",
    "hz": "Chinese_Mandarin=zh",
    "euc-jp": "Japanese_Nihongo=ja",
    "iso2022_jp": "Japanese_Nihongo=ja",
    "utf-16": "Hungarian_Magyar=hu",
}
SUFFIX = {
    "cp1252": "Latin1", "utf-8-sig": "UTF8", "cp1250": "Latin2", "cp1251": "Cyrillic", "cp1253": "Greek",
    "cp1254": "Turkish", "cp1255": "Hebrew", "iso8859-4": "Baltic", "iso8859-5": "Cyrillic", "gb18030": "GB2312",
    "hz": "HZ", "euc-jp": "EUC", "iso2022_jp": "JIS", "utf-16": "Unicode",
}  # fmt: skip


def paragraphs(file: Path, encoding: str) -> list[str]:
    """Texts between blank lines, or between lines that end a sentence; those of 60 bytes and more."""
    text = file.read_bytes().decode(encoding, "ignore").replace("\r\n", "\n").replace("\r", "\n")  # files are cut off
    pieces = (" ".join(p.split()) for p in re.split(r"\n\s*\n|(?<=[.;:,?!।။。])\s*\n", text))
    return [piece for piece in pieces if len(piece.encode()) >= 60]


@pytest.fixture(scope="module")
def declarations(test_data) -> list[tuple[str, str]]:
    """(language, paragraph) of every supported file."""
    return [
        (language, text)
        for encoding, names in FILES.items()
        for name, language in (pair.split("=") for pair in names.split())
        for text in paragraphs(test_data / "web/udhr" / f"{name}-{SUFFIX[encoding]}", encoding)
    ]


def test_at_least_97_percent_of_paragraphs_are_right(declarations, test_data, capsys):
    found = identify([text for _, text in declarations])
    asked, right = Counter(code for code, _ in declarations), Counter()
    for (code, _), answer in zip(declarations, found.codes, strict=True):
        right[code] += code == answer
    worst = sorted((right[code] / n, code, n) for code, n in asked.items() if right[code] < n)
    used = sum(len(names.split()) for names in FILES.values())
    files = len(list((test_data / "web/udhr").iterdir()))
    with capsys.disabled():
        print(
            f"\n  languages of UDHR paragraphs: {right.total()} of {asked.total()} right "
            f"({right.total() / asked.total():.2%}), {len(asked)} languages, {used} of {files} files; below 100 %: "
            + ", ".join(f"{code} {share:.0%} of {n}" for share, code, n in worst)
        )
    assert len(asked) >= 70
    assert right.total() / asked.total() >= 0.97
    assert np.mean([right[code] / n for code, n in asked.items()]) >= 0.97  # every language counts the same


def test_the_kernel_agrees_with_the_package(declarations):
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    peer = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    texts = [text for code, text in declarations[::7] if code not in {"bs", "hr", "sr", "zh", "id"}]
    texts += ["ALL CAPITALS ARE ENGLISH", "e\u0301te\u0301 a\u0300 la plage", "12345 67890 :: {}", "<div class='x'>"]
    found = identify(texts)
    for text, code, score in zip(texts, found.codes, found.scores, strict=True):
        expected, sure = peer.classify(text)
        assert code == expected
        assert score == pytest.approx(sure, abs=1e-4)
    assert identify(["Ein Satz.", "Une phrase."], ("de", "en")).codes[0] == "de"
    peer.set_languages(["nl", "en"])
    assert identify(texts[:9], ("en", "nl")).codes == [peer.classify(text)[0] for text in texts[:9]]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.none() | st.text(max_size=40), max_size=6), st.integers(1, 3))
def test_any_text_has_a_language_and_a_score(texts, threads):
    found = identify(texts, threads=threads)
    assert len(found.codes) == len(found.scores) == len(texts)
    assert set(found.codes) <= {*supported_languages(), "und"}
    assert ((found.scores >= 0) & (found.scores <= 1 + 1e-9)).all()
    assert identify(texts).codes == found.codes


def test_nothing_to_go_by_is_undetermined():
    found = identify(["", None, "\u4dff"])
    assert found.codes[:2] == ["und", "und"]
    assert (found.scores[:2] == 0).all()


def test_a_long_text_is_judged_by_three_samples():
    german, english = "Der Hund schläft unter dem alten Tisch. ", "The dog sleeps under the old table. "
    assert identify([english * 60 + german * 6000]).codes == ["de"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Gde je čovek koji je posle podne video lepo dete?", "sr"),
        ("Gdje je čovjek koji je poslije podne vidio lijepo dijete? Tko zna, povijest je duga.", "hr"),
        ("Gdje je čovjek koji je poslije podne vidio lijepo dijete? Niko ne zna, historija je duga.", "bs"),
        ("Dia mengatakan bahwa kantor itu tutup karena hari libur resmi", "id"),
        ("Dia mengatakan bahawa pejabat itu tutup kerana cuti rasmi", "ms"),
        ("今天天气很好,我们一起去公园散步吧。", "zh"),
        ("佢哋今日唔喺屋企,我哋聽日再嚟搵佢啦。", "yue"),
    ],
)
def test_close_standards_are_told_apart_by_their_own_words(text, code):
    assert identify([text]).codes == [code]


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="unknown languages: tlh, xx"):
        load_model(("en", "xx", "tlh"))
