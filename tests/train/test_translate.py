"""Encoder-decoder models: a toy language is learned, and loss and translations are those of a second implementation."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import torch

from loomwork.core.artifact import Model, Tokenizer
from loomwork.core.context import Context, use_context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError, Stopped
from loomwork.evals.translate import translate as predict
from loomwork.evals.translation import translation
from loomwork.learn.objectives import Outputs, TokenObjective
from loomwork.learn.order import RowOrder
from loomwork.learn.seq2seq import PairBatches, read_text_pairs
from loomwork.learn.settings import Rows, Training
from loomwork.models.folder import read_about
from loomwork.models.opened import open_outputs
from loomwork.models.translator import load_translator, open_tokenizer
from loomwork.train.init import init
from loomwork.train.tokenizer import tokenizer
from loomwork.train.translate import translate

ENGLISH = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
GERMAN = ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"]
COLUMNS = ("source", "target")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with use_context(Context(threads=1)):
        yield


def numbers(count: int, seed: int, known: frozenset[str] = frozenset()) -> list[dict[str, str]]:
    """Rows of numbers in both languages, none of which is known."""
    draw, rows = random.Random(seed), []
    while len(rows) < count:
        said = [draw.randrange(10) for _ in range(draw.randint(3, 7))]
        source = " ".join(ENGLISH[i] for i in said)
        if source not in known:
            rows.append({"source": source, "target": " ".join(GERMAN[i] for i in said)})
    return rows


def saved(folder: Path, rows: list[dict]) -> Dataset:
    with DatasetWriter(folder) as writer:
        writer.write(rows)
    return Dataset(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Dataset:
    return saved(tmp_path_factory.mktemp("numbers"), numbers(1200, 0))


@pytest.fixture(scope="module")
def unseen(tmp_path_factory, data) -> Dataset:
    known = frozenset(r["source"] for r in data.rows())
    return saved(tmp_path_factory.mktemp("unseen"), numbers(40, 1, known))


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> Path:
    folder, out = tmp_path_factory.mktemp("texts"), tmp_path_factory.mktemp("words")
    texts = [f"{space}{word}" for word in (*ENGLISH, *GERMAN) for space in ("", " ")] * 4
    tokenizer(saved(folder, [{"text": t} for t in texts]), vocabulary=340, out=out)
    return out


@pytest.fixture(scope="module")
def fresh(words, tmp_path_factory) -> Model:
    out = tmp_path_factory.mktemp("fresh")
    init(Tokenizer(words), architecture="bart", layers=2, context_tokens=32, out=out)
    return Model(out)


@pytest.fixture(scope="module")
def trained(fresh, data, unseen, tmp_path_factory) -> tuple[Model, dict]:
    out = tmp_path_factory.mktemp("trained")
    rows, training = Rows(steps=260, batch=32), Training(learning_rate=1e-3, warmup_share=0.1, schedule="linear")
    card = translate(fresh, data, unseen, dropout=0.0, rows=rows, training=training, out=out)
    return Model(out), card.metrics


@pytest.mark.parametrize("beams", [1, 3])
def test_it_learns_the_language(trained, unseen, run_step, beams):
    model, metrics = trained
    assert metrics["best_holdout_loss"] < 0.3
    found, _ = run_step(predict, data=unseen, model=model, beams=beams)
    scores, _ = run_step(translation, rows=found, reference="target")
    assert scores.score("bleu").value > 90
    assert set(found.schema.names) >= {"source", "target", "prediction"}


def test_what_the_folder_says(trained, data):
    model, _ = trained
    about = read_about(model)
    assert (about.task, about.max_tokens) == ("translate", 32)
    assert about.trained_on == [{"dataset": data.digest, "columns": list(COLUMNS)}]


def test_translations_are_the_likeliest_tokens_of_transformers(trained, unseen):
    """Token by token, each text alone, without a cache."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    model, _ = trained
    theirs = AutoModelForSeq2SeqLM.from_pretrained(model.path, local_files_only=True, attn_implementation="eager")
    encoder = AutoTokenizer.from_pretrained(model.path, local_files_only=True)
    texts = [r["source"] for r in unseen.rows()][:5]
    ours = load_translator(model).translate(texts)
    for text, said in zip(texts, ours, strict=True):
        read, written = encoder(text, return_tensors="pt")["input_ids"], [theirs.config.decoder_start_token_id]
        for _ in range(40):
            with torch.no_grad():
                logits = theirs.eval()(input_ids=read, decoder_input_ids=torch.tensor([written])).logits
            written.append(int(logits[0, -1].argmax()))
            if written[-1] == encoder.eos_token_id:
                break
        assert encoder.decode(written, skip_special_tokens=True).strip() == said


@pytest.mark.parametrize("limit", [100_000, 60])
def test_loss_and_gradients_are_those_of_transformers(trained, data, limit):
    """One padded batch of theirs, with their label smoothing; ours in one part, and in many."""
    from transformers.trainer_pt_utils import LabelSmoother

    model, _ = trained
    pairs = read_text_pairs(data, COLUMNS, open_tokenizer(model), "", 32)
    found = []
    for ours in (True, False):
        opened = open_outputs(model, "AutoModelForSeq2SeqLM")
        shift = opened.prepare_decoder_input_ids_from_labels
        batches = PairBatches(pairs, RowOrder(len(pairs), 12, 3), shift, "cpu", 0)
        if ours:
            objective = TokenObjective(Outputs(opened, torch.float32), None, 0.1).train()
            opened.eval()  # no dropout
            parts = batches.parts(0, limit)
            assert (len(parts) > 1) == (limit == 60)
            loss = sum(objective(part) for part in parts)
        else:
            (part,) = batches.parts(0, 100_000)
            labels = part.targets
            output = opened(input_ids=part.ids, attention_mask=part.seen, labels=labels)
            loss = LabelSmoother(epsilon=0.1)(output, labels)
        loss.backward()
        found.append((loss.detach(), {n: p.grad for n, p in opened.named_parameters()}))
    (loss, gradients), (their_loss, theirs) = found
    torch.testing.assert_close(loss, their_loss, atol=1e-5, rtol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, theirs[name], atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("family", ["t5", "marian"])
def test_other_families(family, words, unseen, run_step, tmp_path):
    """Tiny ones: they train, with an adapter too, and what was put before each source stays with the model."""
    import transformers

    encoder = transformers.AutoTokenizer.from_pretrained(words, local_files_only=True)
    common = {"vocab_size": len(encoder), "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    torch.manual_seed(0)
    if family == "t5":
        shape = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
        model = transformers.T5ForConditionalGeneration(transformers.T5Config(**common, **shape))
    else:
        shape = {f"{s}_{n}": v for s in ("encoder", "decoder") for n, v in (("layers", 2), ("attention_heads", 4))}
        config = transformers.MarianConfig(
            **common, **shape, d_model=32, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=64
        )
        model = transformers.MarianMTModel(config)
    folder = tmp_path / "base"
    model.save_pretrained(folder)
    for file in words.glob("tokenizer*"):
        shutil.copyfile(file, folder / file.name)
    assert read_about(Model(folder)).task == "translate"
    given = dict(base=Model(folder), data=unseen, prefix="to German: ", steps=6, batch=8)
    first, card = run_step(translate, learning_rate=5e-3, **given)
    assert card.metrics["steps"] == 6
    assert load_translator(first).prefix == "to German: "
    lora, card = run_step(translate, adapter="lora", rank=4, **given)
    assert card.metrics["trained_parameters"] < card.metrics["parameters"] / 2
    assert (lora.path / "adapter" / "adapter_model.safetensors").is_file()
    found, _ = run_step(predict, data=unseen, model=lora, longest_tokens=4)
    assert len(found) == 40


def test_stopped_and_resumed_gives_the_same_bytes(fresh, unseen, run_step, tmp_path):
    stop = tmp_path / "stop"

    def watch(event: dict) -> None:
        if event["type"] == "progress" and event.get("unit") == "steps" and event["done"] == 2:
            stop.touch()

    given = dict(base=fresh, data=unseen, steps=5, batch=8)
    with use_context(Context(threads=1, work_folder=tmp_path / "a")):
        whole, _ = run_step(translate, **given)
    halted = Context(threads=1, work_folder=tmp_path / "b", stop_file=stop, report=watch)
    with use_context(halted), pytest.raises(Stopped, match=r"stopped at step [23] of 5"):
        run_step(translate, **given)
    with use_context(Context(threads=1, work_folder=tmp_path / "b")):
        resumed, _ = run_step(translate, **given)
    assert whole.id == resumed.id


def test_pairs_that_cannot_be_learned_are_left_out_and_bad_input_is_refused(
    fresh, stories, data, make_dataset, run_step
):
    good = {"source": "one two", "target": "eins zwei"}
    rows = [good, good | {"target": " "}, good | {"source": None}, good | {"target": "zehn " * 40}]
    given = read_text_pairs(make_dataset(rows), COLUMNS, open_tokenizer(fresh), "", 32)
    assert (len(given), given.left_out) == (1, {"a side has no text": 2, "a side is longer than 32 tokens": 1})
    assert given.targets[0][-1] == open_tokenizer(fresh).eos_token_id
    with pytest.raises(InputError, match="no row can be learned from: 2 rows: a side has no text"):
        run_step(translate, base=fresh, data=make_dataset(rows[1:3]))
    with pytest.raises(InputError, match="has no encoder and decoder"):
        run_step(translate, base=stories, data=data)
    with pytest.raises(InputError, match="no column 'sorce'"):
        run_step(translate, base=fresh, data=data, source="sorce")
    with pytest.raises(InputError, match="has no encoder and decoder"):
        run_step(predict, data=data, model=stories)
