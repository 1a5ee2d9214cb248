"""The scoring engine against lm-evaluation-harness 0.4.13: the same requests and model, in turn, in one process.

    python bench/loglikelihood.py [--quick] [--json]

A Llama of 23 M parameters is built on the spot, in float32 with random weights (this measures speed, never quality),
with a byte-pair tokenizer trained on the text of WikiText-2's validation part, of which the questions are made too:
about 60 tokens of a paragraph, and four endings of about 24. `0-shot`: the question alone. `5-shot, fixed`: five solved
questions before it, the same for all. `5-shot, drawn`: five others for each. `rolling`: whole articles in windows of
512. `generation`: 32 greedy tokens. One thread; CPU seconds, medians over rounds. The harness runs at several batch
sizes, of which the best counts (for generation its default, 1, is given too). `agree`: all log-probabilities lie
within 1e-3 of the harness's, the likeliest endings and greedy flags are the same, and so are the generated texts.

Where lm-eval is not installed the peer is a plain transformers loop in padded batches, and is called so.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _scoring_peers import harness, with_harness, with_plain_loop

from loomwork.models.decoder import Decoder
from loomwork.models.scoring.requests import Generate, LogLikelihood, Rolling
from loomwork.models.scoring.run import Settings

DATA = Path(os.environ.get("LOOMWORK_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
WITHIN = 1e-3
CHOICES = 4


def spent(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and the result."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    result = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, result


def build(folder: Path, text: str) -> Decoder:
    """A Llama with random weights and a tokenizer trained on the text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=32000, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(text.split("\n"), trainer)
    core.save(str(folder / "tokenizer.json"))
    marks = dict(zip(("bos_token", "eos_token", "pad_token"), ("<s>", "</s>", "</s>"), strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **marks)
    config = LlamaConfig(
        vocab_size=32000, hidden_size=384, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=6,
        max_position_embeddings=1024, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1, pad_token_id=1,
        initializer_range=0.08,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    model.generation_config.pad_token_id = 1
    return Decoder(model, tokenizer)


def questions(decoder: Decoder, text: str, count: int) -> list[tuple[str, list[str]]]:
    """A context of about 60 tokens with four endings of about 24; the first is the right one."""
    paragraphs = [p.strip() for p in text.split("\n") if len(p.split()) > 90]
    chance = random.Random(0)
    chance.shuffle(paragraphs)
    made = []
    for paragraph in paragraphs:
        words = paragraph.split()
        at = chance.randint(40, 52)
        made.append((" ".join(words[:at]), " " + " ".join(words[at : at + chance.randint(14, 22)])))
    return [(made[i][0], [made[(i + j * 7) % len(made)][1] for j in range(CHOICES)]) for i in range(count)]


def workloads(decoder: Decoder, text: str, quick: bool) -> dict[str, list[tuple[str, str]]]:
    zero, five = (10, 4) if quick else (64, 24)
    asked = questions(decoder, text, zero + 5 * (five + 1))
    rest = asked[zero:]

    def shots(first: int) -> str:
        return "".join(c + e[0] + "\n\n" for c, e in rest[first : first + 5])

    def pairs(some: list[tuple[str, list[str]]], before: Callable[[int], str]) -> list[tuple[str, str]]:
        return [(before(n) + c, e) for n, (c, endings) in enumerate(some) for e in endings]

    return {
        "0-shot": pairs(asked[:zero], lambda n: ""),
        "5-shot, fixed": pairs(asked[:five], lambda n: shots(0)),
        "5-shot, drawn": pairs(asked[:five], lambda n: shots(5 * (n + 1))),
    }


def same(a: list[tuple[float, bool]], b: list[tuple[float, bool]]) -> tuple[float, bool]:
    """The largest difference, and whether flags and likeliest endings are equal."""
    best = [[max(range(CHOICES), key=lambda i: x[at + i][0]) for at in range(0, len(x), CHOICES)] for x in (a, b)]
    off = max(abs(x[0] - y[0]) for x, y in zip(a, b, strict=True))
    return off, off <= WITHIN and best[0] == best[1] and [x[1] for x in a] == [x[1] for x in b]


def measure(decoder: Decoder, text: str, quick: bool) -> dict[str, Any]:
    make = harness(decoder.model, decoder.tokenizer)
    peer = "lm-eval 0.4.13" if make else "plain transformers loop"
    rounds = 1 if quick else 3
    report: dict[str, Any] = {"peer": peer, "workloads": {}}

    def race(
        name: str, ours: Callable[[], Any], theirs: dict[int, Callable[[], Any]], check: Callable[..., Any]
    ) -> None:
        times: dict[int, list[float]] = {size: [] for size in [0, *theirs]}
        for _ in range(rounds):
            for size, work in [(0, ours), *theirs.items()]:
                took, found = spent(work)
                times[size].append(took)
                if size == 0:
                    mine = found
                else:
                    off, equal = check(mine, found)
        middle = {size: statistics.median(t) for size, t in times.items()}
        best = min(theirs, key=middle.__getitem__)
        report["workloads"][name] = {
            "ours_cpu_seconds": middle[0], "peer_cpu_seconds": {str(s): middle[s] for s in theirs},
            "best_batch": best, "times_faster": middle[best] / middle[0],
            "times_faster_than_batch_1": middle[1] / middle[0] if 1 in theirs else None, "off": off, "agree": equal,
        }  # fmt: skip

    for name, pairs in workloads(decoder, text, quick).items():
        requests = [LogLikelihood(c, e) for c, e in pairs]
        sizes = (1, 8, 32) if name == "0-shot" and not quick else (1, 8)

        def theirs(size: int, pairs: list[tuple[str, str]] = pairs) -> Any:
            if make:
                return lambda: with_harness(make(size), "loglikelihood", pairs)
            return lambda: with_plain_loop(decoder.model, decoder.tokenizer, pairs, size)

        def ours(requests: list[LogLikelihood] = requests) -> Any:
            return [(a.log_probability, a.greedy) for a in decoder.score(requests)]

        race(name, ours, {size: theirs(size) for size in sizes}, same)
    if make:
        long = [text[at : at + 9000] for at in (0, 60_000)][: 1 if quick else 2]

        def close(a: list[float], b: list[float]) -> tuple[float, bool]:
            off = max(abs(x - y) for x, y in zip(a, b, strict=True))
            return off, all(abs(x - y) <= WITHIN + 1e-6 * abs(y) for x, y in zip(a, b, strict=True))

        def hflm(size: int) -> Any:
            lm = make(size)
            lm._max_length = 512
            return lm

        race(
            "rolling",
            lambda: [a.log_probability for a in decoder.score([Rolling(t) for t in long], settings=Settings(512))],
            {s: lambda s=s: with_harness(hflm(s), "loglikelihood_rolling", [(t,) for t in long]) for s in (1, 4)},
            close,
        )
        prompts = [c for c, _ in questions(decoder, text, 8 if quick else 16)]
        wanted = {"until": ["\n\n"], "max_gen_toks": 32, "do_sample": False}
        race(
            "generation",
            lambda: [a.text for a in decoder.score([Generate(p, ("\n\n",), 32) for p in prompts])],
            {
                s: lambda s=s: with_harness(make(s), "generate_until", [(p, dict(wanted)) for p in prompts])
                for s in (1, 16)
            },
            lambda a, b: (float(sum(x != y for x, y in zip(a, b, strict=True))), a == b),
        )
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer questions, one round")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text = (DATA / "lm" / "wikitext-2.valid.txt").read_text("utf-8", errors="replace")
    with tempfile.TemporaryDirectory() as folder:
        decoder = build(Path(folder), text)
    decoder.score([LogLikelihood("The first call", " allocates")])
    report = measure(decoder, text, arguments.quick)
    parts = report["workloads"]
    report["parameters"] = sum(p.numel() for p in decoder.model.parameters())
    report["ratios"] = {f"{report['peer']}, {name}": part["times_faster"] for name, part in parts.items()}
    report["agree"] = all(part["agree"] for part in parts.values())
    if arguments.json:
        print(json.dumps(report))
        return
    print(f"a Llama of {report['parameters'] / 1e6:.1f} M parameters, random weights, float32, one thread")
    for name, part in parts.items():
        theirs = "  ".join(f"batch {s}: {t:.2f} s" for s, t in part["peer_cpu_seconds"].items())
        line = f"{name:14} ours {part['ours_cpu_seconds']:.2f} s   {report['peer']}: {theirs}"
        print(f"{line}   {part['times_faster']:.2f} times faster   largest difference {part['off']:.1e}")
    print("all agree" if report["agree"] else "THEY DO NOT AGREE")


if __name__ == "__main__":
    main()
