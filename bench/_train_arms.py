"""The ways of training that bench/train.py compares, each in a process of its own: python _train_arms.py ARM FOLDER.

FOLDER holds job.json, the base model, and the texts as token ids, in the order in which all arms see them. An arm
writes FOLDER/ARM: the trained model, and arm.json with the tokens, seconds and CPU seconds of each step, its losses and
the peak memory of the process. `ours_compiled` trains on the batches that `tuned` has made.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from loomwork.core.memory import peak_memory_bytes

RANK, ALPHA = 16, 32
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass
class Clock:
    """When each step ended."""

    at: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def tick(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        used = resource.getrusage(resource.RUSAGE_SELF)
        self.at.append(time.perf_counter())
        self.cpu.append(used.ru_utime + used.ru_stime)


def timer(clock: Clock) -> Any:
    """What tells a clock when transformers' Trainer begins, and when each of its steps ends."""
    from transformers import TrainerCallback

    class Timer(TrainerCallback):
        def on_train_begin(self, *given: Any, **named: Any) -> None:
            clock.tick()

        def on_step_end(self, *given: Any, **named: Any) -> None:
            clock.tick()

    return Timer()


def rows_of(folder: Path) -> list[np.ndarray]:
    """The texts as token ids, in the order of training."""
    ids, ends = np.load(folder / "ids.npy"), np.load(folder / "ends.npy")
    return np.split(ids, ends[:-1])


def ours(folder: Path, job: dict[str, Any]) -> tuple[Clock, list[float]]:
    """Our loop and packed forward pass, as train.sft and train.pretrain use them."""
    lora, grouped = job["arm"] == "ours_lora", job["arm"] == "ours_compiled"
    from loomwork.core.artifact import Model
    from loomwork.core.context import Context, use_context
    from loomwork.learn.adapters import adapted
    from loomwork.learn.causal import CausalBatches, CausalObjective
    from loomwork.learn.forward import causal_decoder
    from loomwork.learn.loop import fit
    from loomwork.learn.model_io import open_base
    from loomwork.learn.sequences import Sequences
    from loomwork.learn.settings import Adapter, Training

    batches_of_tuned = json.loads((folder / "tuned" / "batches.json").read_bytes()) if grouped else []
    rows = [np.array(r) for batch in batches_of_tuned for r in batch] or rows_of(folder)
    lengths = np.array([len(r) for r in rows])
    job["tokens"] = [int(lengths[i : i + job["batch"]].sum()) for i in range(0, len(rows), job["batch"])]
    ids = np.concatenate(rows).astype(np.uint32)
    ends = np.cumsum(lengths)
    texts = Sequences(ids, np.ones(len(ids), bool), ends - lengths, ends, [b""] * len(rows), 0, {}, 0)

    class InOrder:
        def at(self, step: int) -> list[int]:
            return list(range(step * job["batch"], (step + 1) * job["batch"]))

    how = Adapter("lora", RANK, ALPHA, targets=LINEAR) if lora else Adapter()
    training = Training(
        learning_rate=job["rate"],
        schedule="constant",
        warmup_share=0.0,
        weight_decay=0.0,
        compile=True if grouped else None,
    )
    clock = Clock()
    precision = "bfloat16"
    with use_context(Context(device=job["device"], precision=precision, threads=job["threads"])):
        model = adapted(open_base(Model(folder / "base"), "causal"), how, "CAUSAL_LM").to(job["device"])
        decoder, _ = causal_decoder(model, how, torch.bfloat16, training)
        batches = CausalBatches(texts, InOrder(), job["device"])

        def parts(step: int, limit: int) -> Any:
            clock.tick()
            return batches.parts(step, limit)

        history = fit(CausalObjective(decoder), parts, training, steps=job["steps"], checkpoint_every_seconds=1e9)
        clock.tick()
    save(model.merge_and_unload() if lora else model, folder, job)
    return clock, history.losses


def theirs(folder: Path, job: dict[str, Any], arm: str) -> tuple[Clock, list[float]]:
    """transformers' Trainer and TRL's SFTTrainer, with the settings of each arm."""
    from datasets import Dataset
    from transformers import (
        AutoModelForCausalLM,
        DataCollatorForLanguageModeling,
        PreTrainedTokenizerFast,
        Trainer,
        TrainingArguments,
    )

    clock = Clock()

    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "base")
    data = Dataset.from_dict({"input_ids": [r.tolist() for r in rows_of(folder)]})
    common: dict[str, Any] = dict(
        output_dir=str(folder / arm / "trainer"), per_device_train_batch_size=job["batch"], max_steps=job["steps"],
        learning_rate=job["rate"], lr_scheduler_type="constant", weight_decay=0.0, report_to=[], logging_steps=1,
        save_strategy="no", use_cpu=job["device"] == "cpu", disable_tqdm=True, train_sampling_strategy="sequential",
    )  # fmt: skip
    if arm == "peft":
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=LINEAR, task_type="CAUSAL_LM")
        model = get_peft_model(model, config)
    if arm in ("tuned", "peft"):
        common |= {"bf16": True}
    if arm == "tuned":
        common |= {"torch_compile": True, "train_sampling_strategy": "group_by_length"}
    if arm.startswith("trl"):
        from trl import SFTConfig, SFTTrainer

        if arm == "trl_packing":  # as many tokens a step as the other arms have on average
            common |= {"packing": True, "max_length": job["packed"], "per_device_train_batch_size": 1}
        trainer: Any = SFTTrainer(
            model, SFTConfig(**common), train_dataset=data, processing_class=tokenizer, callbacks=[timer(clock)]
        )
    else:
        collate = DataCollatorForLanguageModeling(tokenizer, mlm=False)
        trainer = Trainer(model, TrainingArguments(**common), collate, data, callbacks=[timer(clock)])
    tokens: list[int] = []
    batches: list[list[list[int]]] = []
    inner = trainer.training_step

    def counted(model: Any, inputs: Any, *given: Any, **named: Any) -> Any:
        seen = inputs.get("attention_mask")
        if arm == "tuned":
            texts = [row[mask.bool()].tolist() for row, mask in zip(inputs["input_ids"], seen, strict=True)]
            batches.append(texts)
        tokens.append(int(inputs["input_ids"].numel() if seen is None else seen.sum()))
        return inner(model, inputs, *given, **named)

    trainer.training_step = counted
    trainer.train()
    job["tokens"] = tokens
    (folder / arm / "batches.json").write_text(json.dumps(batches))
    save(model.merge_and_unload() if arm == "peft" else model, folder, job)
    return clock, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def save(model: Any, folder: Path, job: dict[str, Any]) -> None:
    model.to(torch.float32).save_pretrained(folder / job["arm"] / "model")


def main() -> None:
    arm, folder = sys.argv[1], Path(sys.argv[2])
    job = json.loads((folder / "job.json").read_bytes()) | {"arm": arm}
    (folder / arm).mkdir(exist_ok=True)
    torch.set_num_threads(job["threads"])
    clock, losses = ours(folder, job) if arm.startswith("ours") else theirs(folder, job, arm)
    peak = torch.cuda.max_memory_allocated() if job["device"] != "cpu" else peak_memory_bytes()
    found = {
        "tokens": job["tokens"][: len(clock.at) - 1],
        "seconds": np.diff(clock.at).tolist(),
        "cpu_seconds": np.diff(clock.cpu).tolist(),
        "losses": losses,
        "peak_bytes": peak,
    }
    (folder / arm / "arm.json").write_text(json.dumps(found))


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
