"""Labelled texts of passwords as people make them, in nine languages and the files they stand in, and hard negatives.

    from _passwords import passwords, no_passwords

The styles are those that studies of leaked lists name: a word or name with a year, digits and a sign, letters replaced
by digits, two or three words joined, walks over the keyboard, words with digits before, digits alone, and random ones.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator

from faker import Faker

from loomwork.text.personal.find import Span
from loomwork.text.personal.measure import Labelled

KEYS = {  # by locale: the word as a key, and a sentence that tells it
    "en_US": ("password", "My password is {} for now."),
    "de_DE": ("Passwort", "Das Passwort ist {}, bitte ändern."),
    "fr_FR": ("mot de passe", "Le mot de passe est {} depuis hier."),
    "es_ES": ("contraseña", "La contraseña es {}."),
    "it_IT": ("password", "La password è {} per tutti."),
    "nl_NL": ("wachtwoord", "Het wachtwoord is {}."),
    "pt_BR": ("senha", "A senha é {} desde ontem."),
    "pl_PL": ("hasło", "Hasło to {}."),
    "sv_SE": ("lösenord", "Ditt lösenord är {} nu."),
}
FORMS = (
    "{key}: {value}", "{Key}: {value}.", "{key} = {value}", '"{key}": "{value}"',
    '{{"user": "ann", "{key}":"{value}"}}',
    "{key}: '{value}'", "user: ann\n{key}: {value}\nport: 22", "Login: ann, {key}: {value}, thanks", "{Key} : {value}",
    "{sentence}", "**{Key}:** {value}",
)  # fmt: skip
CODE = (
    'DB_PASSWORD="{}"', "DB_PASSWORD={}", "export ADMIN_PASS='{}'", "[db]\nuser = root\npwd = {}\n", 'passwd := "{}"',
    "connect(host, password='{}', port=1)", 'String dbPassword = "{}";', "Server=db;User Id=sa;Password={};Encrypt=yes",
    "'password' => '{}',", "db:\n  passphrase: {}\n", 'secret: "{}"', "--password={} --user ann",
    'password: str = "{}"', '{{"pass": "{}"}}',
)  # fmt: skip
NEGATIVES = (
    "password: required", "password: str", "password = None", 'password = os.environ["{A}_{n}"]', "password=${{{A}}}",
    "password: ********", '<input type="password" name="{a}{n}">', "Password must be at least {n} characters",
    "forgot your password? click here", "def login(user: str, password: str, n{n}: int = {n}): ...",
    "fn login(name: &str, password: &str) -> u32", "password: String, id: i{n}", "{a} = form.password{n}",
    "const password = req.body.password;", 'password = getpass("Password: ")', "password = hash_{a}(raw, {n})",
    "min_password_length: {n}", "password_hash = sha256(password)", "PASSWORD_RESET_TIMEOUT = {n}00",
    "Passwort: erforderlich", "Passwort vergessen? Antwort in {n} Minuten", "Mot de passe : obligatoire",
    "Contraseña: obligatoria", "senha: string", "hasło: wymagane", "The password is case-sensitive.",
    "Your password is {n} days old.", "Das Passwort ist mindestens {n} Zeichen lang", "pass: {n}, fail: {n}",
    "secret = load_secret(name='{a}{n}')", "password: <your password>", 'password: "changeme"', "password=%(password)s",
    "password == other{n}", "passwords: list[str] = []", "Le mot de passe est obligatoire.",
    "password={{{{ vault_{a} }}}}",
    'PasswordField("Password", max_length={n})', "password: Optional[str]", "La clave: {a}, {a}.",
    "boarding pass: gate {n}",
    "the secret is {a} and salt", 'labels: {{"password": "Password"}}', "password: yes", "password_{a}_{n} = x",
    "Password: see section {n}", "{A}_PASSWORD_FILE=/run/secrets/{a}{n}", "self.password = password or {a}.default_{n}",
)  # fmt: skip
KEYBOARD = ("qwertz", "qwerty", "asdfgh", "1q2w3e4r", "zaq12wsx", "qazwsx")
SIGNS = "!?#$%&*+-_@.="


def human(fake: Faker, rng: random.Random) -> str:
    """One password."""

    def word() -> str:
        return "".join(filter(str.isalpha, rng.choice((fake.first_name, fake.word, fake.city))())) or "Anna"

    year, two, sign = str(rng.randrange(1950, 2026)), f"{rng.randrange(100):02}", rng.choice(SIGNS)
    leet = str.maketrans({"a": "4", "e": "3", "i": "1", "o": "0", "s": "5"})
    styles: tuple[Callable[[], str], ...] = (
        lambda: word().capitalize() + year + sign,
        lambda: word().lower() + two,
        lambda: word().lower() + rng.choice("123456789"),
        lambda: word().translate(leet) + sign + two,
        lambda: word().capitalize() + sign + word().lower() + two,
        lambda: sign.join((word(), word(), year)),
        lambda: word().capitalize() + sign * 2,
        lambda: rng.choice(KEYBOARD) + two + sign,
        lambda: two + word().capitalize() + sign,
        lambda: str(rng.randrange(10**5, 10**8)),
        lambda: "".join(rng.choices(string.ascii_letters + string.digits + SIGNS, k=rng.randrange(8, 16))),
    )
    while True:
        value = rng.choice(styles)()
        if len(value) >= 6 and not value.endswith("."):
            return value


def passwords(count: int = 100, seed: int = 0) -> Iterator[Labelled]:
    """Texts with one password each: `count` of each language, and of code."""
    for locale, (key, sentence) in KEYS.items():
        fake, rng = _sources(seed, locale)
        for _ in range(count):
            form, value = rng.choice(FORMS), human(fake, rng)
            before, after = form.replace("{sentence}", sentence.replace("{}", "{value}")).split("{value}")
            names = {"key": key, "Key": key.capitalize()}
            yield _labelled(before.format(**names), value, after.format(**names), locale)
    fake, rng = _sources(seed, "en_US")
    for _ in range(count):
        before, after = rng.choice(CODE).replace("{{", "{").replace("}}", "}").split("{}")
        yield _labelled(before, human(fake, rng), after, "code")


def no_passwords(count: int = 20, seed: int = 0) -> Iterator[Labelled]:
    """Texts with a password word and no password, `count` of each form."""
    fake, rng = _sources(seed, "en_US")
    for _ in range(count):
        for form in NEGATIVES:
            word = fake.word()
            yield Labelled(form.format(a=word, A=word.upper(), n=rng.randrange(1, 99)), (), "no passwords")


def _sources(seed: int, locale: str) -> tuple[Faker, random.Random]:
    fake = Faker(locale)
    fake.seed_instance(f"{seed} passwords {locale}")
    return fake, random.Random(f"{seed} passwords {locale}")


def _labelled(before: str, value: str, after: str, group: str) -> Labelled:
    return Labelled(before + value + after, (Span(len(before), len(before) + len(value), "password"),), group)
