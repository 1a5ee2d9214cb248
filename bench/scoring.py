"""Tasks scored by us and by lm-evaluation-harness 0.4.13: the same YAML file, documents and model, in one process.

    python bench/scoring.py [--quick] [--json]

Three models, in float32: stories260K (260 thousand parameters, pretrained), a Llama of 15 M trained here on WikiText-2
for as long as is said, and a Llama of 0.53 B with random weights (this measures speed, never quality). The documents
are paragraphs of WikiText-2: a beginning of about 45 words and four endings of about 18, as HellaSwag has them.
`0-shot`: the question alone. `0-shot, short answers`: with endings of 2 to 5 words, as ARC and OpenBookQA have them.
`5-shot, fixed`: the same five solved questions before each (sampler first_n, as MMLU has it). `5-shot, drawn`: five
others for each. `rolling`: whole articles in windows of 512. `generation`: 32 greedy tokens.

CPU seconds of the whole run on one thread, from the task file to the scores, medians over rounds. The harness runs at
several batch sizes, of which the best counts; for generation its default, 1, is what counts, and the best is given too.
`agree`: all log-probabilities lie within 1e-3 of the harness's (rolling: 1e-3 and a millionth), the greedy flags, the
generated texts and the scores are the same. `again` is what a repeated run costs us, its answers kept on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from _scoring_peers import fresh, harness, questions, train, write_task

from loomwork.core.artifact import Model
from loomwork.evals.tasks.documents import read_documents
from loomwork.evals.tasks.prompt import Prompts
from loomwork.evals.tasks.results import aggregated, items_of
from loomwork.evals.tasks.task_file import load_task
from loomwork.models.decoder import Decoder, load_decoder
from loomwork.models.scoring.run import Settings

DATA = Path(os.environ.get("LOOMWORK_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
PEER = "lm-eval 0.4.13"
WITHIN = 1e-3
SHOTS, POOL = 5, 12  # examples, and the documents that they are drawn from
Answers = tuple[dict[str, float], list[Any]]


@dataclass(frozen=True)
class Workload:
    """One task file and how it is run: examples, most tokens, and the harness's batch sizes."""

    name: str
    file: Path
    shots: int = 0
    most: int | None = None
    sizes: tuple[int, ...] = (1, 8)


def spent(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and the result."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    result = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, result


def ours(decoder: Decoder, work: Workload, keep: Path | None = None) -> Answers:
    """The whole run: task file, documents, prompts, answers, scores."""
    task = load_task(work.file)
    documents = read_documents(task, num_fewshot=work.shots)
    prompts = Prompts(task, documents.evaluated, documents.pool, num_fewshot=work.shots)
    items = list(prompts)
    found = decoder.score(
        [r for item in items for r in item.requests], keep=keep, settings=Settings(max_tokens=work.most)
    )
    if task.output_type == "generate_until":
        answers: list[Any] = [[a.text] for a in found]
    elif task.output_type == "loglikelihood_rolling":
        answers = [a.log_probability for a in found]
    else:
        answers = [(a.log_probability, a.greedy) for a in found]
    values, at = [], 0
    for item in items:
        own = answers[at : at + len(item.requests)]
        at += len(item.requests)
        values.append(items_of(task, item, own, many_targets=prompts.many_targets))
    scores = {key[0]: aggregated(task, key[0], [v[key] for v in values]) for key in values[0]}
    return scores, answers


def same(mine: Answers, theirs: Answers) -> tuple[float, bool]:
    """The largest difference of a log-probability, and whether everything agrees."""
    off, equal = 0.0, mine[0].keys() <= theirs[0].keys()
    for a, response in zip(mine[1], theirs[1], strict=True):
        b = response[0]
        if isinstance(a, list):
            equal &= a[0] == b
        elif isinstance(a, tuple):
            off = max(off, abs(a[0] - float(b[0])))
            equal &= abs(a[0] - float(b[0])) <= WITHIN and a[1] == (str(b[1]) == "True")
        else:
            value = float(b[0] if isinstance(b, tuple | list) else b)
            off = max(off, abs(a - value))
            equal &= abs(a - value) <= WITHIN + 1e-6 * abs(value)
    equal &= all(abs(v - theirs[0][k]) <= 1e-5 * max(1.0, abs(v)) for k, v in mine[0].items())
    return off, bool(equal)


def race(decoder: Decoder, work: Workload, rounds: int, folder: Path) -> dict[str, Any]:
    peer = harness(decoder)
    times: dict[int, list[float]] = {size: [] for size in (0, *work.sizes)}
    off, equal = 0.0, True
    for number in range(rounds):
        kept = folder / f"{work.file.stem}-{number}.kept"
        took, mine = spent(lambda kept=kept: ours(decoder, work, kept))
        times[0].append(took)
        again, repeated = spent(lambda kept=kept: ours(decoder, work, kept))
        equal &= repeated[0] == mine[0]
        for size in work.sizes:
            took, found = spent(lambda size=size: peer(work.file, size, work.shots, work.most))
            times[size].append(took)
            far, agrees = same(mine, found)
            off, equal = max(off, far), equal and agrees
    middle = {size: statistics.median(t) for size, t in times.items()}
    best = min(work.sizes, key=middle.__getitem__)
    counted = 1 if work.name == "generation" else best
    return {
        "ours_cpu_seconds": middle[0],
        "peer_cpu_seconds": {str(s): middle[s] for s in work.sizes},
        "counted_batch": counted,
        "times_faster": middle[counted] / middle[0],
        "times_faster_than_best": middle[best] / middle[0],
        "again_cpu_seconds": again,
        "off": off,
        "agree": equal,
    }


def workloads(folder: Path, name: str, text: str, amount: float, shots: bool) -> list[Workload]:
    """The task files of one model; `amount` scales how much is asked."""
    zero, five = max(4, round(48 * amount)), max(2, round(20 * amount))
    quick = amount < 0.2
    asked = questions(text, zero + POOL + five)
    file = write_task(folder, f"{name}_zero", "choice", asked[:zero])
    sizes = (1, 8) if quick else (1, 8, 32)
    found = [Workload("0-shot", file, sizes=sizes)]
    file = write_task(folder, f"{name}_short", "choice", questions(text, zero, (2, 5)))
    found.append(Workload("0-shot, short answers", file, sizes=sizes))
    for sampler, title in (("first_n", "5-shot, fixed"), ("default", "5-shot, drawn")) if shots else ():
        file = write_task(folder, f"{name}_{sampler}", "choice", asked[zero:], POOL, sampler)
        found.append(Workload(title, file, SHOTS, sizes=(1,) if quick else (1, 4)))
    articles = [{"text": text[at : at + round(9000 * min(1.0, amount + 0.2))]} for at in (0, 60_000)]
    file = write_task(folder, f"{name}_rolling", "rolling", articles[: 1 if quick else 2])
    found.append(Workload("rolling", file, most=512, sizes=(1, 4)))
    file = write_task(folder, f"{name}_generation", "generation", questions(text, 4 if quick else 16))
    found.append(Workload("generation", file, sizes=(1, 16)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two models, fewer documents, one round")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text = (DATA / "lm" / "wikitext-2.valid.txt").read_text("utf-8", errors="replace")
    report: dict[str, Any] = {"peer": PEER, "models": {}}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["HF_DATASETS_CACHE"] = str(folder / "hf")
        steps = 4 if arguments.quick else 40
        plans: list[tuple[str, Callable[[], tuple[Decoder, str]], float, bool, int]] = [
            ("stories260K", lambda: (load_decoder(Model(DATA / "models" / "stories260K-hf"), threads=1), "pretrained"),
             0.15 if arguments.quick else 1.0, False, 1 if arguments.quick else 3),
            ("15 M", lambda: trained(folder, text, steps), 0.05 if arguments.quick else 1.0, True,
             1 if arguments.quick else 3),
        ]  # fmt: skip
        if not arguments.quick:
            plans.append(("0.5 B", lambda: (random_weights(folder, text), "random weights"), 0.3, True, 1))
        for name, make, amount, shots, rounds in plans:
            decoder, about = make()
            decoder.score([])
            own = {}
            for work in workloads(folder, name.replace(" ", "").replace(".", ""), text, amount, shots):
                own[work.name] = race(decoder, work, rounds, folder)
                if not arguments.json:
                    show(name, work.name, own[work.name])
            size = sum(p.numel() for p in decoder.model.parameters())
            report["models"][name] = {"parameters": size, "about": about, "workloads": own}
            if not arguments.json:
                print(f"  {name}: {size:,} parameters, {about}, float32, one thread")
            del decoder
    parts = {f"{m}, {w}": part for m, one in report["models"].items() for w, part in one["workloads"].items()}
    report["ratios"] = {f"{PEER}, {name}": part["times_faster"] for name, part in parts.items()}
    report["agree"] = all(part["agree"] for part in parts.values())
    print(json.dumps(report) if arguments.json else "all agree" if report["agree"] else "THEY DO NOT AGREE")


def saved(decoder: Decoder, place: Path) -> Decoder:
    """The same model, read from a folder: only such a one can keep its answers."""
    decoder.model.save_pretrained(place)
    decoder.tokenizer.save_pretrained(place)
    made = load_decoder(Model(place), threads=1)
    made.model.generation_config.pad_token_id = 1
    return made


def random_weights(folder: Path, text: str) -> Decoder:
    return saved(fresh(folder, text, 1024, 26, 4864, 16), folder / "large")


def trained(folder: Path, text: str, steps: int) -> tuple[Decoder, str]:
    decoder = fresh(folder, text, 288, 6, 768, 6)
    loss = train(decoder, text, steps)
    return saved(decoder, folder / "small"), f"trained here for {steps} steps of 2,048 tokens, to a loss of {loss:.2f}"


def show(model: str, name: str, part: dict[str, Any]) -> None:
    theirs = "  ".join(f"batch {s}: {t:.2f} s" for s, t in part["peer_cpu_seconds"].items())
    line = f"{model:12} {name:14} ours {part['ours_cpu_seconds']:.2f} s (again {part['again_cpu_seconds']:.2f} s)   "
    line += f"{PEER}: {theirs}   {part['times_faster']:.2f} times faster than batch {part['counted_batch']}"
    print(f"{line}   off {part['off']:.1e}   {'agree' if part['agree'] else 'DO NOT AGREE'}", flush=True)


if __name__ == "__main__":
    main()
