"""Languages whose written standards nearly coincide, told apart by what only one of them writes.

An n-gram model knows that a text is one of a group; letters and words that belong to one standard alone decide which.
Where a text has none of them, the model's own choice stands.

Source: for Serbian against Bosnian and Croatian the reflex of Proto-Slavic jat (Browne and Alt, 2004, A Handbook of
Bosnian, Serbian, and Croatian; Serbian in Latin script is nearly always ekavian), for Bosnian against Croatian word
pairs of the two standards (the same handbook); for Indonesian against Malay their spellings of common words
(Sneddon, 2003, The Indonesian Language); for Chinese the characters of written Cantonese and Wu (Snow, 2004,
Cantonese as Written Language).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SERBO_CROATIAN = ("bs", "hr", "sr")
CHINESE = ("zh", "yue", "wuu")
MALAY = ("id", "ms")


def _words(stems: str) -> re.Pattern[str]:
    """Matches the words that begin with one of the stems; a stem that ends in "." is a whole word."""
    return re.compile(r"\b(?:" + "|".join(s.replace(".", r"\b") for s in stems.split()) + ")")


# The same words with the two reflexes of jat; a stem begins a word.
_EKAVIAN = _words(
    "čovek čoveč sveta. svetu. svetsk svetl vera. vere. veru. verova verois mesto. mesta. mestu. mesec vreme. "
    "deca. dece. deci. dete. reč. reči. rečima. mera. mere. meri. delo. dela. delu. delova posle. posled gde. "
    "uvek. ovde. devoj lepo. lepa. cena. cene. cenu. ocen procen telo. tela. telu. mlek sneg. ceo. cela. cele. "
    "celi. celo. celog. videti. video. videl želeti. želeo. želel pesm pesn primer primen promen izmen razume. "
    "pre. sme. smeju. umetn umeti. lekar svest savest savet svedo smer usmer namer vetar. vešt večn rešen reši "
    "vredn vrednos vežb pobed nasled naslež seća oseća sever. severn zvezd hleb. nemač. nemačk uspeh. uspeš "
    "bezbed obezbed odeć nega. negu. negova meša sused vek. veka. veku. belo. bela. beli. reka. reke. reku. "
    "pesak. cvet. cveć telesn greš grešk"
)
_IJEKAVIAN = _words(
    "čovjek čovječ svijet svjets svjetl vjera. vjere. vjeru. vjerova vjerois mjest mjesec vrijeme. djeca. djece. "
    "djeci. dijete. riječ mjera. mjere. mjeri. djelo. djela. djelu. djelova poslije. posljed gdje. uvijek. ovdje. "
    "djevoj lijep cijena. cijene. cijenu. ocjen procjen tijel mlijek snijeg. cijel vidjeti. vidio. vidjel "
    "željeti. želio. željel pjesm pjesn primjer primjen promjen promijen izmjen razumije prije. smije. smiju. "
    "umjetn umjeti. ljekar liječ svijest savjest savjet svjedo smjer usmjer namjer vjetar. vješt vječn rješen "
    "riješi vrijed vježb pobjed naslijeđ nasljed sjeća osjeća sjever zvijezd hljeb njemač uspjeh. uspješ bezbjed "
    "obezbijed odjeć miješa susjed vijek bijel rijek pijesak. cvijet. cvijeć tjelesn bijeg griješ"
)
# Who, during, according to, thousand, history, music, aeroplane, university, science, general, use, theatre, January.
_CROATIAN = _words(
    "tko. netko. nitko. svatko. tijekom. sukladno. glede. tisuć povijes glazb zrakoplov sveučiliš znanos znanstv "
    "opći. opća. opće. općeg općem općim uporab kazališt siječnj"
)
_BOSNIAN = _words(
    "ko. neko. niko. svako. histori hiljad muzik univerzitet nauka. nauke. nauku. naučn upotreb pozorišt januar "
    "lahk mehk kahv saopć"
)
# That, because, different, official, private, civil, international, currency, office, car, free of charge, August.
_INDONESIAN = _words(
    "bahwa. karena. bisa. beda. berbeda perbeda resmi. pribadi. sipil. internasional. uang. kantor. mobil. "
    "gratis. agustus. maret. desember. juni. juli. kualitas. universitas. kapan. perkawinan. dikarenakan. "
    "pekerjaan. pengadilan. cuma. standar. efektif. organisasi. aktivitas. sosialisasi. mau."
)
_MALAY = _words(
    "bahawa. kerana. beza. berbeza perbeza rasmi. peribadi. sivil. antarabangsa. wang. pejabat. percuma. ogos. "
    "disember. julai. kualiti. universiti. perkahwinan. kahwin. perlembagaan. mahkamah. pekerja. hendaklah. "
    "bandar. kerajaan. piawai. berkesan. pertubuhan. aktiviti. mahu. ialah."
)
_CYRILLIC = re.compile("[а-яё]")
_CANTONESE = re.compile("[嘅喺咗佢哋冇嘢啲嚟嗰咩乜攞瞓嘥睇]")
_WU = re.compile("[侬覅]|搿|辰光|物事")


def settle(text: str, chosen: str, probability: Mapping[str, float]) -> str:
    """The language of a text within the group of the model's choice; the choice itself where nothing decides.

    Args:
        text: any text.
        chosen: what the model chose.
        probability: of each language that may be given.
    """
    found = chosen
    if chosen in SERBO_CROATIAN:
        found = _serbo_croatian(text.lower(), chosen, probability)
    elif chosen in MALAY:
        found = _malay(text.lower(), chosen)
    elif chosen in CHINESE and not (_CANTONESE if chosen == "yue" else _WU).search(text):
        found = "zh"
    return found if found in probability else chosen


def _malay(text: str, chosen: str) -> str:
    indonesian, malay = len(_INDONESIAN.findall(text)), len(_MALAY.findall(text))
    return chosen if indonesian == malay else "id" if indonesian > malay else "ms"


def _serbo_croatian(text: str, chosen: str, probability: Mapping[str, float]) -> str:
    if _CYRILLIC.search(text):  # of the three the model knows only Serbian in Cyrillic
        return chosen
    ekavian, ijekavian = len(_EKAVIAN.findall(text)), len(_IJEKAVIAN.findall(text))
    if ekavian > ijekavian:
        return "sr"
    if chosen == "sr" and ekavian == ijekavian:
        return chosen
    croatian, bosnian = len(_CROATIAN.findall(text)), len(_BOSNIAN.findall(text))
    if croatian != bosnian:
        return "hr" if croatian > bosnian else "bs"
    return chosen if chosen != "sr" else max(("bs", "hr"), key=lambda name: probability.get(name, 0.0))
