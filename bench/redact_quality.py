"""How much personal data is found, and how much of what is found is any: by kind, and telephone numbers by locale.

    python bench/redact_quality.py [--quick] [--json] [--seed 0]

On the labelled texts of bench/_personal.py: values by faker in thirteen locales, within sentences of which half have a
word that says what the value is, and hard negatives (versions, hashes, ISBNs, dates, decimals, order numbers, code);
and those of bench/_passwords.py: passwords as people make them, in nine languages, files and code.
Recall is the share of values that one finding of their kind covers, precision the share of findings that touch a value
of their kind; both with Wilson's interval at 95 %. `valid` is the share
of faker's telephone numbers that the numbering plan of their own country has; some of the others are valid elsewhere.
"""

from __future__ import annotations

import argparse
import json

from _passwords import no_passwords, passwords
from _personal import labelled, negatives

from loomwork.core.score import Interval
from loomwork.stats.interval import wilson
from loomwork.text.personal.find import detectors, find
from loomwork.text.personal.measure import Counts, Labelled, measure, total


def share(part: int, of: int) -> str:
    """A proportion with its interval: "0.983 (0.911 to 0.997)"."""
    if not of:
        return "-"
    interval: Interval = wilson(part, of)
    return f"{part / of:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def row(name: str, counts: Counts) -> str:
    recall, precision = share(counts.found, counts.labelled), share(counts.right, counts.reported)
    return f"| {name} | {counts.labelled} | {recall} | {counts.reported} | {precision} |"


def valid_phones(samples: list[Labelled]) -> dict[str, float]:
    """The share of the telephone numbers of each locale that are valid in its country."""
    import phonenumbers

    found: dict[str, list[bool]] = {}
    for text, spans, group in samples:
        for span in spans:
            if span.kind == "phone":
                value = text[span.start : span.end].replace("(0)", "")
                try:
                    number = phonenumbers.parse(value, group[-2:])
                    valid = phonenumbers.is_valid_number(number)
                except phonenumbers.NumberParseException:
                    valid = False
                found.setdefault(group, []).append(valid)
    return {group: sum(values) / len(values) for group, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer texts")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--seed", type=int, default=0, help="of the texts")
    arguments = parser.parse_args()
    per_kind, per_form = (40, 100) if arguments.quick else (300, 1000)
    using = detectors()
    samples = [*labelled(per_kind, arguments.seed), *negatives(per_form, arguments.seed)]
    samples += [*passwords(per_kind, arguments.seed), *no_passwords(per_form // 10, arguments.seed)]
    table = measure(samples, lambda text: find(text, using))
    kinds = {d.kind: total(counts for (kind, _), counts in table.items() if kind == d.kind) for d in using}
    locales = {group: counts for (kind, group), counts in table.items() if kind == "phone" and counts.labelled}
    if arguments.json:
        recall = {kind: counts.recall for kind, counts in kinds.items()}
        precision = {kind: counts.precision for kind, counts in kinds.items()}
        found = {"recall": recall, "precision": precision, "phone": {g: c.recall for g, c in locales.items()}}
        print(json.dumps({"ratios": {}, "agree": min(precision.values()) >= 0.75, **found}))
        return
    print(f"{len(samples)} texts, {sum(not s.spans for s in samples)} of them without any personal data\n")
    print("| kind | values | recall | findings | precision |\n|---|---|---|---|---|")
    for kind, counts in kinds.items():
        print(row(kind, counts))
    valid = valid_phones(samples)
    print("\n| telephone numbers | values | recall | findings | precision | valid |\n|---|---|---|---|---|---|")
    for group, counts in locales.items():
        print(f"{row(group, counts)} {valid[group]:.2f} |")


if __name__ == "__main__":
    main()
