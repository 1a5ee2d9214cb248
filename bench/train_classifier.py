"""Fine-tuning an encoder to classify: our loop and transformers' Trainer, on the same rows.

    python bench/train_classifier.py [--quick] [--json] [--rounds 3]

MiniLM (22.7 M parameters) learns SST-2 (LOOMWORK_TEST_DATA), 32 phrases a step in the file's order, with dropout, AdamW
at a constant rate. Each arm runs in a process of its own, by turns; the first steps, in which things are compiled, are
not counted.

- trainer: transformers' Trainer at its defaults (float32, a batch padded to its longest text).
- tuned: bf16, and batches of like length, which are ours_grouped's too.
- compiled: the same with torch.compile, against ours_compiled, on the same batches.

Printed: real tokens (no padding) a second, medians over rounds; peak memory; loss and accuracy on the dev file
afterwards. `agree`: these losses differ by less than 0.05 from ours on the same batches (dropout draws differ).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _train_arms import Clock, timer

from loomwork.core.memory import peak_memory_bytes

DATA = Path(os.environ.get("LOOMWORK_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")) / "glue" / "SST-2"
ARMS = ("ours", "trainer", "tuned", "compiled", "ours_grouped", "ours_compiled")
AGAINST = {"tuned": "ours_grouped", "compiled": "ours_compiled"}
WITHIN = 0.05  # nats, of held-out loss
BATCH, RATE, MOST_TOKENS = 32, 1e-4, 128
SKIP = 10  # steps


def rows_of(name: str, tokenizer: Any, count: int | None = None) -> tuple[list[list[int]], list[int]]:
    """Token ids and labels, the training rows in an order of their own."""
    lines = (DATA / f"{name}.tsv").read_text("utf-8").splitlines()[1:]
    chosen = np.random.default_rng(1).permutation(len(lines))[:count] if count else range(len(lines))
    pairs = [lines[i].rsplit("\t", 1) for i in chosen]
    tokenizer.enable_truncation(MOST_TOKENS)
    return [e.ids for e in tokenizer.encode_batch([text for text, _ in pairs])], [int(label) for _, label in pairs]


def ours(folder: Path, job: dict[str, Any]) -> tuple[Clock, Any]:
    from loomwork.core.artifact import Model
    from loomwork.core.context import Context, use_context
    from loomwork.learn.encoder_run import batches_for, open_trained
    from loomwork.learn.loop import fit
    from loomwork.learn.objectives import ClassObjective, Outputs
    from loomwork.learn.settings import Adapter, Training
    from loomwork.models.encoder import load_tokenizer

    base = Model(folder / "base")
    ids, labels = rows_of("train", load_tokenizer(base), job["steps"] * BATCH)
    order = list(range(len(ids)))
    if job["arm"] != "ours":
        order = [i for batch in json.loads((folder / "tuned" / "batches.json").read_bytes()) for i in batch]
    job["tokens"] = [sum(len(ids[i]) for i in order[at : at + BATCH]) for at in range(0, len(order), BATCH)]
    targets, weights = torch.tensor(labels), torch.ones(BATCH)

    class InOrder:
        def at(self, step: int) -> list[int]:
            return order[step * BATCH : (step + 1) * BATCH]

    faster = job["arm"] == "ours_compiled"
    training = Training(
        learning_rate=RATE, schedule="constant", warmup_share=0.0, weight_decay=0.0, compile=faster or None
    )
    clock = Clock()
    with use_context(Context(device="cpu", precision="bfloat16", threads=job["threads"])):
        model = open_trained(base, "classes", training, Adapter(), dropout=0.1, num_labels=2)
        batches = batches_for(
            model, ids, InOrder(), lambda rows, step: {"targets": (targets[rows], weights[: len(rows)])}, len
        )

        def parts(step: int, limit: int) -> Any:
            clock.tick()
            return batches.parts(step, limit)

        objective = ClassObjective(Outputs(model, torch.bfloat16))
        fit(objective, parts, training, steps=job["steps"], checkpoint_every_seconds=1e9)
        clock.tick()
    return clock, model


def theirs(folder: Path, job: dict[str, Any]) -> tuple[Clock, Any]:
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        DataCollatorWithPadding,
        PreTrainedTokenizerFast,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    from loomwork.core.artifact import Model
    from loomwork.models.encoder import load_tokenizer

    clock = Clock()

    set_seed(7)
    base = folder / "base"
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2, dtype=torch.float32)
    ids, labels = rows_of("train", load_tokenizer(Model(base)), job["steps"] * BATCH)
    data = Dataset.from_dict({"input_ids": ids, "labels": labels, "row": list(range(len(ids)))})
    tuned = job["arm"] != "trainer"
    arguments = TrainingArguments(
        output_dir=str(folder / job["arm"] / "trainer"), per_device_train_batch_size=BATCH, max_steps=job["steps"],
        learning_rate=RATE, lr_scheduler_type="constant", weight_decay=0.0, report_to=[], logging_steps=50,
        save_strategy="no", use_cpu=True, disable_tqdm=True, remove_unused_columns=False, bf16=tuned,
        torch_compile=job["arm"] == "compiled",
        train_sampling_strategy="group_by_length" if tuned else "sequential",
    )  # fmt: skip
    padding = DataCollatorWithPadding(PreTrainedTokenizerFast.from_pretrained(base))
    tokens: list[int] = []
    batches: list[list[int]] = []

    def collate(rows: list[dict[str, Any]]) -> Any:
        batches.append([r.pop("row") for r in rows])
        return padding(rows)

    trainer = Trainer(model, arguments, collate, data, callbacks=[timer(clock)])
    inner = trainer.training_step

    def counted(model: Any, inputs: Any, *given: Any, **named: Any) -> Any:
        tokens.append(int(inputs["attention_mask"].sum()))
        return inner(model, inputs, *given, **named)

    trainer.training_step = counted
    trainer.train()
    job["tokens"] = tokens
    (folder / job["arm"] / "batches.json").write_text(json.dumps(batches[: job["steps"]]))
    return clock, model


def held_out(model: Any, folder: Path, rows: int | None) -> tuple[float, float]:
    """Loss and accuracy on dev, or on so many rows of it, in float32."""
    from loomwork.core.artifact import Model
    from loomwork.models.encoder import load_tokenizer

    ids, labels = rows_of("dev", load_tokenizer(Model(folder / "base")), rows)
    model = model.float().eval()
    with torch.no_grad():
        logits = torch.cat([model(input_ids=torch.tensor([row])).logits for row in ids])
    wanted = torch.tensor(labels)
    return float(torch.nn.functional.cross_entropy(logits, wanted)), float((logits.argmax(1) == wanted).float().mean())


def run_arm(folder: Path, arm: str) -> None:
    """In a process of its own: train, and write arm.json."""
    job = json.loads((folder / "job.json").read_bytes()) | {"arm": arm}
    (folder / arm).mkdir(exist_ok=True)
    torch.set_num_threads(job["threads"])
    clock, model = ours(folder, job) if arm.startswith("ours") else theirs(folder, job)
    peak = peak_memory_bytes()
    loss, accuracy = held_out(getattr(model, "_orig_mod", model), folder, job["held"])
    found = {
        "tokens_per_second": sum(job["tokens"][SKIP:]) / (clock.at[-1] - clock.at[SKIP]),
        "tokens_per_cpu_second": sum(job["tokens"][SKIP:]) / (clock.cpu[-1] - clock.cpu[SKIP]),
        "peak_bytes": peak,
        "loss": loss,
        "accuracy": accuracy,
    }
    (folder / arm / "arm.json").write_text(json.dumps(found))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="few steps, two arms, some rows of dev")
    options.add_argument("--json", action="store_true")
    options.add_argument("--rounds", type=int, default=0)
    options.add_argument("--arm", default="", help=argparse.SUPPRESS)
    options.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.arm:
        run_arm(given.folder, given.arm)
        return
    arms, steps, rounds = (ARMS[:2], 20, 1) if given.quick else (ARMS, 120, given.rounds or 3)
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    results: dict[str, list[dict[str, float]]] = {arm: [] for arm in arms}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        (folder / "job.json").write_text(
            json.dumps({"steps": steps, "threads": threads, "held": 200 if given.quick else None})
        )
        for _ in range(rounds):
            for arm in arms:
                command = [sys.executable, __file__, "--arm", arm, "--folder", name]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise SystemExit(f"{arm} failed:\n{done.stderr[-3000:]}")
                results[arm].append(json.loads((folder / arm / "arm.json").read_bytes()))
    report(results, steps, given.json)


def prepare(folder: Path) -> None:
    from loomwork.train.base import base

    (folder / "base").mkdir()
    base(out=folder / "base")


def report(results: dict[str, list[dict[str, float]]], steps: int, as_json: bool) -> None:
    middle = {arm: {n: statistics.median(r[n] for r in runs) for n in runs[0]} for arm, runs in results.items()}
    ratios, cpu_ratios, agree = {}, {}, True
    for arm in (a for a in results if not a.startswith("ours")):
        mine = middle[AGAINST.get(arm, "ours")]
        ratios[arm] = round(mine["tokens_per_second"] / middle[arm]["tokens_per_second"], 2)
        cpu_ratios[arm] = round(mine["tokens_per_cpu_second"] / middle[arm]["tokens_per_cpu_second"], 2)
        agree = agree and abs(mine["loss"] - middle[arm]["loss"]) < WITHIN
    if as_json:
        print(json.dumps({"ratios": ratios, "cpu_ratios": cpu_ratios, "agree": agree, "arms": middle}))
        return
    print(f"MiniLM 22.7 M on SST-2, {steps} steps of {BATCH} phrases, {len(next(iter(results.values())))} rounds")
    for arm, found in middle.items():
        against = f"ours {ratios[arm]:.2f}x as fast (CPU {cpu_ratios[arm]:.2f}x)" if arm in ratios else ""
        print(
            f"{arm:12} {found['tokens_per_second']:6.0f} tokens/s  {found['peak_bytes'] / 1e6:5.0f} MB  "
            f"dev loss {found['loss']:.3f}, accuracy {found['accuracy']:.3f}  {against}"
        )
    print("held-out losses agree" if agree else "held-out losses DIFFER")


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
