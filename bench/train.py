"""Training a Llama on short texts: our loop, transformers' Trainer and TRL's SFTTrainer, on the same texts.

    python bench/train.py [--quick] [--json] [--device cuda] [--rounds 3]

A Llama of 22.9 M parameters (6 layers of width 384, a vocabulary of 32,000, tied) with random weights learns paragraphs
of documentation that lies on this machine, of 40 to 50 tokens on average (printed), 8 a step. All arms get the same
first weights, the same texts in the same order (but where an arm sorts or packs them itself), AdamW at the same rate.
Each runs in a process of its own, by turns; the first steps, in which things are compiled, are not counted.

- trainer: transformers' Trainer at its defaults (float32, padded). tuned: bf16, grouped by length, torch.compile,
  against ours_compiled, which gets the very batches that it made and is compiled too.
- trl: TRL's SFTTrainer at its defaults (bf16, gradient checkpointing). trl_packing: the same with packing into rows of
  as many tokens as the others have a step on average; texts are cut at their ends, so its batches are others.
- peft: LoRA of rank 16 on all linear layers by PEFT under Trainer in bf16, against ours_lora.

Printed: real tokens (no padding) a second, medians over rounds; the share of the machine's bfloat16 peak that their
6 operations a parameter make up; peak memory; the loss on held-out texts afterwards. `agree`: these losses differ by
less than 0.05 from ours on the same batches (trl_packing: 0.5, on its own). On a GPU the model is a Llama of 0.5 B and
the batch is larger.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _corpus import documents

ARMS = ("ours", "trainer", "trl", "trl_packing", "tuned", "ours_compiled", "ours_lora", "peft")
AGAINST = {"peft": "ours_lora", "tuned": "ours_compiled"}  # the others are measured against "ours"
WITHIN, WITHIN_PACKED = 0.05, 0.5  # nats, of held-out loss
HELD = 96  # texts
SHORTEST, LONGEST = 8, 512  # tokens of a text


def paragraphs(count: int) -> list[str]:
    """So many paragraphs of this machine's documentation."""
    found: dict[str, None] = {}
    for text in documents(3000):
        for piece in text.split("\n\n"):
            if len(piece) > 40:
                found.setdefault(" ".join(piece.split()))
    return list(found)[:count]


def prepare(folder: Path, size: dict[str, int], texts: int) -> float:
    """Write tokenizer, base model and token ids; returns the mean length in tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    lines = paragraphs(40_000)
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer, trained.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>"]  # a pad of its own: Trainer does not learn what it pads with
    trained.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=size["vocabulary"], special_tokens=special, show_progress=False)
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=trained, bos_token=special[0], eos_token=special[1], pad_token=special[2]
    )
    wrapped.save_pretrained(folder / "base")
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size["vocabulary"],
            hidden_size=size["width"],
            intermediate_size=size["inner"],
            num_hidden_layers=size["layers"],
            num_attention_heads=size["width"] // 64,
            num_key_value_heads=size["width"] // 64,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
        )
    )
    model.save_pretrained(folder / "base")
    order = np.random.default_rng(1).permutation(len(lines))
    rows = []
    for at in order:
        ids = [0, *trained.encode(lines[at]).ids[: LONGEST - 2], 1]
        if len(ids) >= SHORTEST:
            rows.append(np.array(ids))
        if len(rows) == texts + HELD:
            break
    for name, some in (("", rows[:texts]), ("held_", rows[texts:])):
        np.save(folder / f"{name}ids.npy", np.concatenate(some))
        np.save(folder / f"{name}ends.npy", np.cumsum([len(r) for r in some]))
    return float(np.mean([len(r) for r in rows[:texts]]))


def run_arm(arm: str, folder: Path) -> dict[str, Any]:
    environment = dict(os.environ, TOKENIZERS_PARALLELISM="false")
    script = Path(__file__).with_name("_train_arms.py")
    done = subprocess.run(
        [sys.executable, str(script), arm, str(folder)], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{arm} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads((folder / arm / "arm.json").read_bytes())
    return found


def held_out_loss(folder: Path, arm: str, device: str) -> float:
    """Of the trained model, in float32, by transformers' own forward pass."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder / arm / "model", dtype=torch.float32).to(device).eval()
    ids, ends = np.load(folder / "held_ids.npy"), np.load(folder / "held_ends.npy")
    total = count = 0.0
    with torch.no_grad():
        for row in np.split(ids, ends[:-1]):
            given = torch.tensor(row, device=device)[None]
            total += float(model(input_ids=given, labels=given).loss) * (len(row) - 1)
            count += len(row) - 1
    return total / count


def peak_flops(device: str) -> float:
    """The best that a bfloat16 product of two square matrices reaches here, in operations a second."""
    width = 2048 if device == "cpu" else 8192
    a = torch.randn(width, width, dtype=torch.bfloat16, device=device)
    best = 0.0
    for _ in range(10):
        began = time.perf_counter()
        a @ a
        if device != "cpu":
            torch.cuda.synchronize()
        best = max(best, 2 * width**3 / (time.perf_counter() - began))
    return best


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="a small model, few steps, three arms")
    options.add_argument("--json", action="store_true")
    options.add_argument("--device", default="cpu")
    options.add_argument("--rounds", type=int, default=0)
    options.add_argument("--steps", type=int, default=0)
    options.add_argument("--arms", default="")
    given = options.parse_args()
    size = {"vocabulary": 32_000, "width": 384, "inner": 1024, "layers": 6}
    steps, skip, batch, arms = 48, 8, 8, ARMS
    if given.quick:
        size = {"vocabulary": 4_096, "width": 256, "inner": 704, "layers": 4}
        steps, skip, arms = 16, 4, ("ours", "trainer", "trl")
    if given.device != "cpu":
        size = {"vocabulary": 32_000, "width": 1536, "inner": 4096, "layers": 16}
        batch = 64
    arms = tuple(given.arms.split(",")) if given.arms else arms
    steps = given.steps or steps
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(threads)
    rounds = given.rounds or (1 if given.quick else 3)
    results: dict[str, list[dict[str, Any]]] = {arm: [] for arm in arms}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mean = prepare(folder, size, steps * batch)
        job = {"batch": batch, "steps": steps, "rate": 5e-4, "threads": threads, "device": given.device}
        (folder / "job.json").write_text(json.dumps(job | {"packed": round(mean * batch)}))
        for _ in range(rounds):
            for arm in arms:
                results[arm].append(run_arm(arm, folder))
        losses = {arm: held_out_loss(folder, arm, given.device) for arm in arms}
    speed = {
        arm: statistics.median(sum(r["tokens"][skip:]) / sum(r["seconds"][skip:]) for r in runs)
        for arm, runs in results.items()
    }
    processor = {
        arm: statistics.median(sum(r["tokens"][skip:]) / sum(r["cpu_seconds"][skip:]) for r in runs)
        for arm, runs in results.items()
    }
    parameters = size["vocabulary"] * size["width"] + size["layers"] * (
        4 * size["width"] ** 2 + 3 * size["width"] * size["inner"]
    )
    peak = peak_flops(given.device)
    ratios, cpu_ratios = {}, {}
    for arm in arms:
        base = AGAINST.get(arm, "ours")
        if not arm.startswith("ours") and base in speed:
            ratios[arm] = round(speed[base] / speed[arm], 2)
            cpu_ratios[arm] = round(processor[base] / processor[arm], 2)
    agree = all(
        abs(losses[arm] - losses[AGAINST.get(arm, "ours")]) < (WITHIN_PACKED if arm == "trl_packing" else WITHIN)
        for arm in ratios
    )
    memory = {arm: max(r["peak_bytes"] for r in runs) for arm, runs in results.items()}
    found = {
        "ratios": ratios,
        "cpu_ratios": cpu_ratios,
        "agree": agree,
        "tokens_per_second": {a: round(s) for a, s in speed.items()},
        "share_of_peak": {a: round(6 * parameters * s / peak, 3) for a, s in speed.items()},
        "peak_gflops": round(peak / 1e9),
        "peak_memory_mb": {a: round(m / 1e6) for a, m in memory.items()},
        "held_out_loss": {a: round(v, 4) for a, v in losses.items()},
        "model": f"Llama {parameters / 1e6:.1f} M, vocabulary {size['vocabulary']}",
        "texts": f"{steps * batch} of {mean:.1f} tokens, {batch} a step",
        "rounds": rounds,
    }
    if given.json:
        print(json.dumps(found))
        return
    print(f"{found['model']}; {found['texts']}; {rounds} rounds; bf16 peak {found['peak_gflops']} GFLOP/s")
    for arm in arms:
        against = f"ours {ratios[arm]:.2f}x as fast (CPU {cpu_ratios[arm]:.2f}x)" if arm in ratios else ""
        print(
            f"{arm:12} {speed[arm]:7.0f} tokens/s  {found['share_of_peak'][arm]:5.1%} of peak  "
            f"{found['peak_memory_mb'][arm]:5} MB  loss {losses[arm]:.4f}  {against}"
        )
    print("held-out losses agree" if agree else "held-out losses DIFFER")


if __name__ == "__main__":
    main()
