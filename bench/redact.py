"""Personal data out of real documents: our kernel against datatrove's PIIFormatter, on the kinds that both know.

    python bench/redact.py [--quick] [--json]

The peer replaces e-mail addresses and public IPv4 addresses. Both get the same texts in memory, a quarter of them with
values that faker made put between their lines, and give the redacted texts. `agree` says that each found at least 98 %
of the values that the other found, the peer's addresses at reserved domains (example.com), which ours leaves, not
counted, and both nearly all that were put in. Printed too is what all our kinds cost together, on texts with values and
on texts as they are.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
from collections.abc import Callable
from typing import Any

import polars as pl
from _corpus import documents
from faker import Faker

from loomwork.text.personal.detectors import email
from loomwork.text.personal.find import detectors, find_all
from loomwork.text.personal.replace import Redactor

SHARED = ["email", "ip"]
EVERY = 4  # every fourth document gets values


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """The CPU time of all threads, and the result."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    result = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, result


def with_values(texts: list[str]) -> tuple[list[str], list[tuple[int, str]]]:
    """The texts, some with a line of an e-mail and an IP address put in, and what was put where."""
    fake, rng = Faker("en_US"), random.Random(0)
    fake.seed_instance(0)
    filled, put = [], []
    for number, text in enumerate(texts):
        if number % EVERY == 0:
            lines, values = text.split("\n"), [fake.ascii_company_email(), fake.ipv4_public()]
            lines.insert(rng.randrange(len(lines) + 1), "Ask {} ({}) for it.".format(*values))
            text = "\n".join(lines)
            put += [(number, value) for value in values]
        filled.append(text)
    return filled, put


def ours(texts: list[str], kinds: list[str] | None) -> list[str]:
    """The texts, masked."""
    redactor = Redactor(using := detectors(kinds), {d.kind: "mask" for d in using})
    results = redactor.column(pl.Series(texts))
    return [results[row].text if row in results else text for row, text in enumerate(texts)]


def theirs(texts: list[str]) -> list[str]:
    """The texts as the peer leaves them."""
    from datatrove.pipeline.formatters.pii import PIIFormatter

    formatter = PIIFormatter()
    return [formatter.format(text) for text in texts]


def values_of_both(texts: list[str]) -> tuple[set[tuple[int, str]], set[tuple[int, str]]]:
    """What each finds: (document, value), versions of IP that the peer does not know left out."""
    from datatrove.pipeline.formatters.pii import PIIFormatter

    formatter = PIIFormatter()
    mine = {
        (row, text[span.start : span.end])
        for row, text, spans in find_all(pl.Series(texts), detectors(SHARED))
        for span in spans
        if ":" not in text[span.start : span.end]
    }
    other = set()
    for row, text in enumerate(texts):
        for replacer in (formatter.emails_replacer, formatter.ip_replacer):
            for match in replacer.regex.finditer(text):
                if replacer.validator is None or replacer.validator(match[0]):
                    other.add((row, match[0]))
    # The peer takes what stands before the name, as in --user=joe@acme.io, into an address.
    other = {(row, value.rpartition("=")[2].rpartition("/")[2]) for row, value in other}
    return mine, {(row, value) for row, value in other if not email.RESERVED.search(value.partition("@")[2])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer documents and rounds")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--differences", action="store_true", help="list what only one of the two finds")
    arguments = parser.parse_args()
    count, rounds = (2_000, 3) if arguments.quick else (20_000, 5)
    plain = documents(count)
    texts, put = with_values(plain)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    jobs: dict[str, Callable[[], list[str]]] = {
        "ours, e-mail and IP": lambda: ours(texts, SHARED),
        "datatrove, e-mail and IP": lambda: theirs(texts),
        "ours, all kinds": lambda: ours(texts, None),
        "ours, all kinds, texts as they are": lambda: ours(plain, None),
    }
    for job in jobs.values():
        job()  # compiles patterns, loads numbering plans
    times: dict[str, list[float]] = {name: [] for name in jobs}
    made: dict[str, list[str]] = {}
    for _ in range(rounds):
        for name, job in jobs.items():
            seconds, made[name] = cpu_seconds(job)
            times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    mine, other = values_of_both(texts)
    shared = len(mine & other)
    left = [sum(value in made[name][row] for row, value in put) for name in list(jobs)[:2]]
    agree = shared >= 0.98 * len(other) and shared >= 0.98 * len(mine) and max(left) <= 0.01 * len(put)
    ratio = medians["datatrove, e-mail and IP"] / medians["ours, e-mail and IP"]
    if arguments.json:
        speeds = {name: megabytes / value for name, value in medians.items()}
        print(json.dumps({"ratios": {"datatrove": ratio}, "agree": agree, "megabytes_per_cpu_second": speeds}))
        return
    for name, value in medians.items():
        print(f"{name:36} {value:8.2f} s   {megabytes / value:8.1f} MB per CPU-second")
    alone = f"ours alone {len(mine - other)}, the peer alone {len(other - mine)}"
    print(f"ours is {ratio:.1f} times as fast; values found by both {shared}, {alone}")
    print(f"of {len(put)} that were put in, ours left {left[0]}, the peer {left[1]}")
    if arguments.differences:
        for who, only in (("ours", mine - other), ("the peer", other - mine)):
            for _, value in sorted(only)[:40]:
                print(f"  only {who}: {value}")
    print("results agree" if agree else "RESULTS DO NOT AGREE")


if __name__ == "__main__":
    main()
