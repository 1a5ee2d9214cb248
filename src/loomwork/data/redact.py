"""Personal data and secrets out of a text column."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.secret import read_secret
from loomwork.core.step import Card, Secret, step
from loomwork.data._rows import counted, refuse_idle, require_text, shard_tables, write_changed
from loomwork.text.personal.find import detectors, left_on_purpose, version
from loomwork.text.personal.find import kinds as known_kinds
from loomwork.text.personal.replace import Mode, Redacted, Redactor


@step(makes="dataset", uses=["polars"], version=version())
def redact(
    data: Dataset,
    *,
    column: str = "text",
    mode: Mode = "mask",
    kinds: dict[str, Mode] | list[str] | None = None,
    leave: list[str] | None = None,
    allow: list[str] | None = None,
    regions: list[str] | None = None,
    key_from: Annotated[str | None, Secret()] = None,
    out: Path,
) -> Card:
    """Mask, pseudonymise or drop personal data and secrets in a text column.

    Found by their forms and checksums: e-mail addresses, telephone numbers, IP and MAC addresses, payment cards, IBANs,
    national identity numbers (us_ssn, uk_nino, es_dni, fr_nir, it_codice_fiscale, de_tax_id, nl_bsn, pl_pesel, br_cpf,
    se_personnummer, cn_resident_id, in_aadhaar), passwords that are assigned, secrets in URLs, API keys and private
    keys. Names of persons, addresses and dates of birth are not found: that needs a model, for they have no fixed form.

    What names nobody stays and is counted as "left": addresses at example.com and other reserved domains, private and
    special IP addresses, and example keys such as AKIA...EXAMPLE.

    A masked value becomes its kind, as [EMAIL]; a pseudonym is the same for the same value, by a secret key, and keeps
    the form for e-mail and IP addresses. A row with a value whose mode is "drop" goes to the part `dropped`, where it
    stands unredacted; so do all rows in the version before: give away `data` alone, and `loom forget` what must go.
    Other columns are not looked at. Rows without findings are carried as they are; changed ones get new ids.

    Args:
        data: rows with a text column.
        column: the column that is searched.
        mode: what is done with a value: "mask", "pseudonymise" or "drop" (its row).
        kinds: what is searched: names, or the mode for each name, {email: mask, card: drop}; none for all kinds.
        leave: kinds that are not searched.
        allow: values that stay, such as "*@python.org" or 8.8.8.8; "*" stands for any characters.
        regions: countries whose national telephone numbers are found, as "DE"; none for thirteen large ones.
        key_from: the environment variable that holds the key of the pseudonyms, at least 24 random characters. Its
            value is stored nowhere.

    Raises:
        InputError: an unknown kind or region; pseudonyms without a key, a key without pseudonyms, or one that could be
            guessed.
    """
    import polars as pl

    require_text(data, column)
    modes = _modes(mode, kinds, leave or [])
    redactor = Redactor(detectors(modes, regions), modes, _key(modes, key_from), allow or [])
    found: Counter[str] = Counter()
    left: Counter[str] = Counter()
    changed = done = 0
    with DatasetWriter(out) as writer:
        for shard, table in shard_tables(data):
            texts = pl.Series(table.column(column)).cast(pl.String)
            left.update(left_on_purpose(texts, modes))
            results = redactor.column(texts)
            for result in results.values():
                found.update(result.counts)
            new = texts.clone().scatter(list(results), [result.text for result in results.values()])
            changed += write_changed(writer, shard, table, column, new, _reasons(results, len(table)))
            done += len(table)
            context().progress(done, unit="rows")
    metrics = {f"found: {kind}": n for kind, n in sorted(found.items())}
    metrics |= {f"left: {name}": n for name, n in sorted(left.items()) if n}
    card = counted(writer, rows_changed=changed, **metrics)
    others = [f.name for f in data.schema if "string" in str(f.type) and f.name not in (column, "source", "encoding")]
    if others:
        card.notes.append(
            f"only {column} was searched: {', '.join(others)} hold texts too; redact them by further steps (column=) "
            "before you give the dataset away"
        )
    return card


def _modes(mode: Mode, kinds: dict[str, Mode] | list[str] | None, leave: list[str]) -> dict[str, Mode]:
    """What is done, by the kind that is searched."""
    known = known_kinds()
    given = kinds if isinstance(kinds, dict) else dict.fromkeys(known if kinds is None else kinds, mode)
    for name in (*given, *leave):
        if name not in known:
            raise InputError(f"no kind of personal data is called {name!r}", did_you_mean(name, known, show=40))
    modes = {name: how for name, how in given.items() if name not in leave}
    if not modes:
        raise InputError("no kind is left to search for", "name some in `kinds`, or fewer in `leave`")
    return modes


def _key(modes: dict[str, Mode], key_from: str | None) -> bytes:
    if "pseudonymise" not in modes.values():
        refuse_idle(
            "no kind is pseudonymised", "set mode: pseudonymise, or {email: pseudonymise} in kinds", key_from=key_from
        )
        return b""
    if key_from is None:
        raise InputError("pseudonyms need a key", "name the environment variable that holds it: key_from: MY_KEY")
    return read_secret(key_from)


def _reasons(results: dict[int, Redacted], rows: int) -> list[str]:
    """Why each row is dropped; "" where it is not."""
    reasons = [""] * rows
    for row, result in results.items():
        reasons[row] = "personal data: " + ", ".join(result.drop) if result.drop else ""
    return reasons
