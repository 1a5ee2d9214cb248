"""Labelled texts for bench/redact_quality.py and its test: personal data made by faker within sentences, and hard
negatives.

    from _personal import labelled, negatives

Values come from faker's providers of each locale, so they are not what our own rules would make up. Where faker's are
not what they
stand for, ours take their place, and docs say so: UK national insurance numbers (faker's are invalid on purpose),
German tax ids (it has none), public IPv6 addresses, and secrets. Half of the sentences have a word that says what the
value is, half have none.
"""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable, Iterator

from faker import Faker

from loomwork.text.personal.find import Span
from loomwork.text.personal.measure import Labelled
from loomwork.text.personal.shapes import verhoeff

# By locale: sentences with a word for a telephone and without one; sentences for anything; national numbers.
Sentences = tuple[str, ...]
PHONE: dict[str, tuple[Sentences, Sentences]] = {
    "en_US": (
        ("Please call me at {} before noon.", "Phone: {}"),
        ("You can reach the front desk on {}.", "Contact: Mary, {}."),
    ),
    "en_GB": (
        ("Telephone {} for an appointment.", "Mobile: {}"),
        ("The office can be reached on {} until five.", "Reception, {}"),
    ),
    "de_DE": (
        ("Telefon: {}", "Rufen Sie uns an: {}."),
        ("Sie erreichen mich unter {}.", "Rückfragen bitte an Frau Weber, {}."),
    ),
    "fr_FR": (("Téléphone : {}", "Vous pouvez m'appeler au {}."), ("Joignez-nous au {} dès demain.", "Accueil, {}")),
    "es_ES": (("Teléfono: {}", "Llame al {} para reservar."), ("Estamos a su disposición en el {}.", "Recepción, {}")),
    "it_IT": (
        ("Telefono: {}", "Chiami il numero {} dopo le nove."),
        ("Siamo raggiungibili allo {}.", "Segreteria, {}"),
    ),
    "nl_NL": (("Telefoon: {}", "Bel ons op {}."), ("U bereikt ons op {}.", "Receptie, {}")),
    "pl_PL": (("Telefon: {}", "Proszę dzwonić pod numer {}."), ("Jesteśmy dostępni pod {}.", "Recepcja, {}")),
    "pt_BR": (("Telefone: {}", "Ligue para {} hoje."), ("Estamos disponíveis em {}.", "Recepção, {}")),
    "sv_SE": (("Telefon: {}", "Ring {} efter lunch."), ("Du når oss på {}.", "Receptionen, {}")),
    "ja_JP": (("電話：{}", "お電話は{}までお願いします。"), ("お問い合わせは{}です。", "受付 {}")),
    "zh_CN": (("电话：{}", "请拨打{}联系手机。"), ("请联络{}。", "前台 {}")),
    "en_IN": (("Phone: {}", "Kindly call {} to confirm."), ("You can reach us on {}.", "Contact: Priya, {}.")),
}
ANY: dict[str, Sentences] = {
    "en_US": ("We wrote it down as {} last week.", "{}", "The form says: {}, and it was signed on 03/12/2024."),
    "en_GB": ("It was entered as {} in the register.", "{}", "As agreed, {} is the one to use."),
    "de_DE": ("Im Formular steht {}, unterschrieben am 03.12.2024.", "{}", "Wie besprochen gilt {} ab sofort."),
    "fr_FR": ("Le formulaire indique {}, signé le 03/12/2024.", "{}", "Comme convenu, {} reste valable."),
    "es_ES": ("En el formulario figura {}, firmado el 03/12/2024.", "{}", "Como acordamos, {} sigue siendo válido."),
    "it_IT": ("Nel modulo compare {}, firmato il 03/12/2024.", "{}", "Come d'accordo, {} resta valido."),
    "nl_NL": ("Op het formulier staat {}, getekend op 03-12-2024.", "{}", "Zoals afgesproken blijft {} geldig."),
    "pl_PL": ("W formularzu wpisano {}, podpisano 03.12.2024.", "{}", "Zgodnie z umową obowiązuje {}."),
    "pt_BR": ("No formulário consta {}, assinado em 03/12/2024.", "{}", "Como combinado, {} continua válido."),
    "sv_SE": ("I blanketten står {}, undertecknad 2024-12-03.", "{}", "Som avtalat gäller {} tills vidare."),
    "ja_JP": ("書類には{}と書かれています。", "{}", "2024年12月3日に{}で登録しました。"),
    "zh_CN": ("表格上写着{}，请核对。", "{}", "2024年12月3日登记为{}。"),
    "en_IN": ("The form says {}, signed on 03/12/2024.", "{}", "As discussed, {} is on file."),
}
NATIONAL: dict[str, tuple[tuple[str, Callable[[Faker, random.Random], str], Sentences], ...]] = {
    "en_US": (("us_ssn", lambda f, r: f.ssn(), ("SSN: {}", "Her social security number is {}.")),),
    "en_GB": (("uk_nino", lambda f, r: nino(r), ("NI number {}", "National Insurance: {}")),),
    "de_DE": (
        ("de_tax_id", lambda f, r: tax_id(r), ("Steuer-ID: {}", "Meine Steueridentifikationsnummer lautet {}.")),
    ),
    "fr_FR": (("fr_nir", lambda f, r: f.ssn(), ("N° de sécurité sociale : {}", "NIR {}")),),
    "es_ES": (
        ("es_dni", lambda f, r: f.nif(), ("DNI: {}", "con DNI {}")),
        ("es_dni", lambda f, r: f.nie(), ("NIE: {}", "con NIE {}")),
    ),
    "it_IT": (("it_codice_fiscale", lambda f, r: f.ssn(), ("Codice fiscale: {}", "C.F. {}")),),
    "nl_NL": (("nl_bsn", lambda f, r: f.ssn(), ("BSN: {}", "Mijn burgerservicenummer is {}.")),),
    "pl_PL": (("pl_pesel", lambda f, r: f.pesel(), ("PESEL: {}", "numer PESEL {}")),),
    "pt_BR": (("br_cpf", lambda f, r: r.choice((f.cpf(), f.ssn())), ("CPF: {}", "inscrito no CPF sob o nº {}")),),
    "sv_SE": (("se_personnummer", lambda f, r: f.ssn(), ("Personnummer: {}", "personnr {}")),),
    "zh_CN": (("cn_resident_id", lambda f, r: f.ssn(), ("身份证号：{}", "身份证{}")),),
    "en_IN": (("in_aadhaar", lambda f, r: aadhaar(f, r), ("Aadhaar: {}", "My Aadhaar number is {}.")),),
}
SECRETS: tuple[tuple[str, str, Callable[[random.Random], str]], ...] = (
    ("api_key", "aws_access_key_id = {}", lambda r: "AKIA" + chars(r, 16, string.ascii_uppercase + "234567")),
    ("api_key", "git clone with {} as the token", lambda r: "ghp_" + chars(r, 36)),
    (
        "api_key",
        "the bot posts with {} now",
        lambda r: f"xoxb-{r.randrange(10**11, 10**12)}-{r.randrange(10**11, 10**12)}-{chars(r, 24)}",
    ),
    ("api_key", "stripe.api_key = '{}'", lambda r: "sk_live_" + chars(r, 24)),
    ("api_key", "?maps={} in the page", lambda r: "AIza" + chars(r, 35, string.ascii_letters + string.digits + "-_")),
    ("api_key", "HF_TOKEN {}", lambda r: "hf_" + chars(r, 34, string.ascii_letters)),
    ("api_key", "Authorization: Bearer {}", lambda r: f"eyJ{chars(r, 30)}.eyJ{chars(r, 80)}.{chars(r, 43)}"),
    ("authorization", "Authorization: Bearer {}", lambda r: chars(r, r.randrange(20, 60))),
    ("authorization", "curl -H 'Authorization: Basic {}' https://api.acme.io", lambda r: basic(r)),
    ("authorization", '{{"authorization": "Token {}"}}', lambda r: f"{r.getrandbits(160):040x}"),
    (
        "password",
        'db_password = "{}"',
        lambda r: chars(r, r.randrange(8, 20), string.ascii_letters + string.digits + "!#%&*+-_?@"),
    ),
    ("password", "MYSQL_PASSWORD={}", lambda r: chars(r, r.randrange(10, 20)) + "7x"),
    ("url_secret", "postgresql://{}@db.internal.acme.io:5432/prod", lambda r: f"app:{chars(r, r.randrange(8, 16))}"),
    ("url_secret", "https://files.acme.io/r.pdf?id=7&token={}", lambda r: chars(r, 32)),
    ("private_key", "deploy with\n{}\nand restart", lambda r: pem(r)),
)
CAPITALS = string.ascii_uppercase + string.digits


def basic(rng: random.Random) -> str:
    """The credential of basic authentication."""
    return base64.b64encode(f"{chars(rng, 6)}:{chars(rng, rng.randrange(6, 16))}".encode()).decode()


def labelled(per_kind: int = 60, seed: int = 0) -> Iterator[Labelled]:
    """Sentences with one value each, of every locale: `per_kind` of each kind that the locale has."""
    for locale in PHONE:
        fake, rng = Faker(locale), random.Random(f"{seed} {locale}")
        fake.seed_instance(f"{seed} {locale}")
        issuers = Faker("en_US")  # other locales have other issuers' names, or few
        issuers.seed_instance(f"{seed} {locale}")
        bank = Faker("en_GB" if locale in ("zh_CN", "en_IN") else locale)  # these two locales make ones too short
        bank.seed_instance(f"{seed} {locale}")
        for _ in range(per_kind):
            named, plain = PHONE[locale]
            yield _sample("phone", fake.phone_number(), rng.choice(rng.choice((named, plain))), locale)
            for kind, make in {
                "email": rng.choice((fake.ascii_company_email, fake.ascii_free_email)),
                "card": lambda fake=issuers, rng=rng: card(fake, rng),
                "iban": lambda fake=bank, rng=rng: rng.choice((fake.iban(), grouped(fake.iban()))),
                "ip": lambda fake=fake, rng=rng: rng.choice((fake.ipv4_public(), ipv6(fake))),
                "mac": fake.mac_address,
            }.items():
                yield _sample(kind, make(), rng.choice(ANY[locale]), locale)
            for kind, maker, sentences in NATIONAL.get(locale, ()):
                yield _sample(kind, maker(fake, rng), rng.choice(rng.choice((sentences, ANY[locale]))), locale)
    rng = random.Random(f"{seed} secrets")
    for _ in range(per_kind):
        for kind, sentence, maker_of_secret in SECRETS:
            yield _sample(kind, maker_of_secret(rng), sentence, "secrets")


def negatives(count: int = 200, seed: int = 0) -> Iterator[Labelled]:
    """Texts of many forms that look like personal data and are none, `count` of each form."""
    fake, rng = Faker("en_US"), random.Random(f"{seed} negatives")
    fake.seed_instance(f"{seed} negatives")
    n = rng.randrange
    forms: tuple[Callable[[], str], ...] = (
        lambda: f"Upgraded from version {n(1, 9)}.{n(20)}.{n(20)}.{n(99)} to v{n(9)}.{n(99)}.{n(9)}.",
        lambda: f"commit {fake.sha1()} fixes {fake.md5()[:10]}",
        lambda: f"sha256:{fake.sha256()}",
        lambda: f"ISBN {fake.isbn13()} and ISBN-10 {fake.isbn10()}",
        lambda: f"{fake.date()} {fake.time()} and {fake.date('%d.%m.%Y')}, {fake.date('%m/%d/%Y')}",
        lambda: f"pi is {rng.random():.15f}, e is {n(10**9)}.{n(10**9)}",
        lambda: f"Order {n(10**9, 10**10)} was shipped, invoice no. {n(10**7, 10**8)}.",
        lambda: f"The population was {n(10**6, 10**9):,} in {n(1900, 2024)}-{n(1900, 2024)}.",
        lambda: f"range({n(10**6)}, {n(10**8)}, {n(10**4)})  # {n(2**32):#x}",
        lambda: f"id={fake.uuid4()}; ts={n(1_500_000_000, 1_700_000_000)}",
        lambda: f"EAN {fake.ean13()}, barcode {fake.ean8()}",
        lambda: f"| {n(999)} | {n(9999)} | {n(99999)} | {n(10**6)} |",
        lambda: f"{n(1000)} {n(1000)} {n(1000)} {n(1000)} {n(1000)} {n(1000)}",
        lambda: f"@decorator\ndef f{n(99)}(self): return icon@2x.png",
        lambda: f"git@github.com:{fake.user_name()}/repo.git and 10.{n(256)}.{n(256)}.{n(256)}, 127.0.0.1",
        lambda: f"pytest=={n(9)}.{n(20)}.{n(9)}.{n(9)}; OID 1.3.6.1.4.1.{n(9999)}.{n(99)}",
        lambda: f"doi:10.{n(1000, 9999)}/{fake.user_name()}.{n(10**6, 10**8)}",
        lambda: f"Flight at {n(24):02}:{n(60):02}:{n(60):02}, {n(90)}.{n(10**6)}, -{n(180)}.{n(10**6)}",
        lambda: "password: str = getpass.getpass(); token = os.environ['TOKEN']; api_key=None",
        lambda: "Authorization: Bearer <token>, Bearer $ACCESS_TOKEN, the standard-bearer RepublicansOf1984and1988",
        lambda: f"std::vector<int> a{n(9)}; fe80::1 and ::1; {n(9)}/{n(99)}/{n(9999)}",
        lambda: f"RFC {n(9999)} section {n(9)}.{n(9)}.{n(9)}.{n(9)}, pages {n(1000, 2000)}-{n(2000, 3000)}",
        lambda: f"ISSN {n(1000, 9999)}-{n(1000, 9999)}, case {n(100, 999)}-{n(1000, 9999)}/{n(10, 99)}",
        lambda: f"Tracking 1Z{chars(rng, 16, CAPITALS)}, part {chars(rng, 12, CAPITALS)}",
        lambda: f"{fake.sentence()} {n(10**10, 10**11)} {fake.word()} {n(10**15, 10**16)} {fake.word()}",
        lambda: "Set API_KEY=<your-api-key> or curl -u user:password https://user:pass@example.com/?token=YOUR_TOKEN",
    )
    for _ in range(count):
        for form in forms:
            yield Labelled(form(), (), "negatives")


def _sample(kind: str, value: str, sentence: str, group: str) -> Labelled:
    start = sentence.index("{}")
    return Labelled(sentence.replace("{}", value), (Span(start, start + len(value), kind),), group)


def chars(rng: random.Random, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Random characters."""
    return "".join(rng.choices(alphabet, k=count))


def card(fake: Faker, rng: random.Random) -> str:
    """A card number, together or in the groups that are printed."""
    issuer = rng.choice(("visa16", "mastercard", "amex", "discover", "jcb16", "diners", "visa19"))
    number = fake.credit_card_number(issuer)
    while issuer == "jcb16" and not "3528" <= number[:4] <= "3589":  # the range of JCB; faker's is all of 35
        number = fake.credit_card_number(issuer)
    style = rng.randrange(3)
    if style == 0:
        return number
    cuts = {15: (4, 10), 14: (4, 10)}.get(len(number), (4, 8, 12, 16))
    pieces = [number[a:b] for a, b in zip((0, *cuts), (*cuts, len(number)), strict=True)]
    return " -"[style - 1].join(piece for piece in pieces if piece)


def grouped(value: str, size: int = 4) -> str:
    """A value in groups."""
    return " ".join(value[i : i + size] for i in range(0, len(value), size))


def ipv6(fake: Faker) -> str:
    """A global unicast address: faker's own are of any block."""
    return "2a02:" + fake.ipv6().partition(":")[2]


def aadhaar(fake: Faker, rng: random.Random) -> str:
    """An Aadhaar number, in groups of four or together; faker's last digit is no check digit."""
    first = fake.aadhaar_id()[:11]
    value = next(first + last for last in string.digits if verhoeff(first + last))
    return rng.choice((value, grouped(value)))


def nino(rng: random.Random) -> str:
    """A national insurance number by HMRC's rules, in one of the usual spellings."""
    while True:
        prefix = rng.choice("ABCEGHJKLMNOPRSTWXYZ") + rng.choice("ABCEGHJKLMNPRSTWXYZ")
        if prefix not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}:
            break
    digits, last = f"{rng.randrange(10**6):06}", rng.choice("ABCD")
    return rng.choice((f"{prefix}{digits}{last}", f"{prefix} {digits[:2]} {digits[2:4]} {digits[4:]} {last}"))


def tax_id(rng: random.Random) -> str:
    """A German tax id: of ten digits one stands twice, another is missing; the check digit is ISO/IEC 7064 MOD
    11,10."""
    while True:
        used = rng.sample("0123456789", 9)
        digits = [*used, rng.choice(used)]
        rng.shuffle(digits)
        if digits[0] != "0":
            break
    rest = 10
    for char in digits:
        rest = ((rest + int(char)) % 10 or 10) * 2 % 11
    value = "".join(digits) + str((11 - rest) % 10)
    return rng.choice((value, f"{value[:2]} {value[2:5]} {value[5:8]} {value[8:]}"))


def pem(rng: random.Random) -> str:
    """The form of a private key, of random bytes."""
    kind = rng.choice(("RSA ", "EC ", "OPENSSH ", ""))
    lines = "\n".join(chars(rng, 64, string.ascii_letters + string.digits + "+/") for _ in range(6))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"
