"""The peer of bench/scoring.py, lm-evaluation-harness, and the models and documents that both are given."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from loomwork.models.decoder import Decoder

CHOICES = 4
TASK = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {name}.jsonl, train: {name}-shots.jsonl}}}}
test_split: test
training_split: train
"""
KINDS = {
    "choice": """\
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{endings}}"
doc_to_target: 0
target_delimiter: " "
metric_list: [{metric: acc}, {metric: acc_norm}]
fewshot_config: {sampler: SAMPLER}
""",
    "rolling": """\
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]
""",
    "generation": """\
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{endings[0]}}"
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 32, do_sample: false}
metric_list: [{metric: exact_match}]
""",
}


def write_task(
    folder: Path, name: str, kind: str, documents: list[dict[str, Any]], shots: int = 0, sampler: str = "first_n"
) -> Path:
    """A task file, with its documents beside it: the first `shots` of them are for examples."""
    for suffix, rows in (("", documents[shots:]), ("-shots", documents[: max(1, shots)])):
        (folder / f"{name}{suffix}.jsonl").write_text("\n".join(json.dumps(r) for r in rows), "utf-8")
    file = folder / f"{name}.yaml"
    file.write_text(TASK.format(name=name) + KINDS[kind].replace("SAMPLER", sampler), "utf-8")
    return file


def questions(text: str, count: int, ending: tuple[int, int] = (14, 22)) -> list[dict[str, Any]]:
    """A context of about 45 words with four endings of so many words; the first is the right one."""
    paragraphs = [p.strip() for p in text.split("\n") if len(p.split()) > 90]
    chance = random.Random(0)
    chance.shuffle(paragraphs)
    made = []
    for paragraph in paragraphs:
        words = paragraph.split()
        at = chance.randint(40, 52)
        made.append((" ".join(words[:at]), " ".join(words[at : at + chance.randint(*ending)])))
    return [
        {"question": made[i][0], "endings": [made[(i + j * 7) % len(made)][1] for j in range(CHOICES)]}
        for i in range(count)
    ]


def harness(decoder: Decoder) -> Callable[[Path, int, int, int | None], tuple[dict[str, float], list[Any]]]:
    """run(task file, batch size, shots, most tokens): what lm-evaluation-harness measures, and each document's answers.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from lm_eval import evaluator
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    logging.disable(logging.WARNING)

    def run(file: Path, size: int, shots: int, most: int | None) -> tuple[dict[str, float], list[Any]]:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.chdir(file.parent):
            lm = HFLM(pretrained=decoder.model, tokenizer=decoder.tokenizer, batch_size=size, device="cpu")
            if most is not None:
                lm._max_length = most
            manager = TaskManager(include_path=str(file.parent), include_defaults=False)
            found = evaluator.simple_evaluate(
                lm, tasks=[file.stem], num_fewshot=shots, task_manager=manager, bootstrap_iters=0, log_samples=True
            )
        scores = {k.partition(",")[0]: v for k, v in found["results"][file.stem].items() if isinstance(v, float)}
        samples = sorted(found["samples"][file.stem], key=lambda s: s["doc_id"])
        return scores, [response for sample in samples for response in sample["resps"]]

    return run


def fresh(folder: Path, text: str, width: int, layers: int, inner: int, heads: int) -> Decoder:
    """A Llama with random weights, and a byte-pair tokenizer of 32,000 tokens made of the text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    file = folder / "tokenizer.json"
    if not file.is_file():
        core = Tokenizer(models.BPE())
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        core.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        special = ["<s>", "</s>"]
        trainer = trainers.BpeTrainer(
            vocab_size=32000, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
        core.train_from_iterator(text.split("\n"), trainer)
        core.save(str(file))
    marks = dict(zip(("bos_token", "eos_token", "pad_token"), ("<s>", "</s>", "</s>"), strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file), **marks)
    config = LlamaConfig(
        vocab_size=32000, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, max_position_embeddings=1024, tie_word_embeddings=True, bos_token_id=0,
        eos_token_id=1, pad_token_id=1, initializer_range=0.02,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    model.generation_config.pad_token_id = 1
    return Decoder(model, tokenizer)


def train(decoder: Decoder, text: str, steps: int, tokens: int = 2048, window: int = 256) -> float:
    """Train the model on the text for a few steps, so that its answers are not all noise. Returns the last loss."""
    ids = torch.tensor(decoder.tokenizer(text, verbose=False)["input_ids"])
    rows = ids[: len(ids) // window * window].view(-1, window)
    optimizer = torch.optim.AdamW(decoder.model.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0.1)
    chance = torch.Generator().manual_seed(0)
    loss = torch.tensor(float("nan"))
    decoder.model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 10) * (1 - step / steps)
        batch = rows[torch.randint(0, len(rows), (tokens // window,), generator=chance)]
        with torch.autocast("cpu", torch.bfloat16):
            loss = decoder.model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    decoder.model.eval()
    return float(loss.detach())
