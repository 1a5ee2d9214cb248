"""New tokens: one id each, rows that begin as means, and nothing else changed."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError
from loomwork.train.extend import extend
from loomwork.train.tokenizer import tokenizer as train_tokenizer

TEXT = "Once upon a time, there was a little girl named Lily."
MARKS = ["<|im_start|>", "<|im_end|>"]


@pytest.fixture(autouse=True)
def one_thread():
    with use_context(Context(threads=1)):
        yield


@pytest.fixture
def plays(test_data, make_dataset):
    text = (test_data / "lm" / "tinyshakespeare.txt").read_text()[:100_000]
    return make_dataset([{"text": part} for part in text.split("\n\n") if part.strip()])


def opened(model: Model):
    return AutoTokenizer.from_pretrained(model.path), AutoModelForCausalLM.from_pretrained(
        model.path, dtype=torch.float32
    )


def test_control_tokens_are_one_id_and_old_texts_get_the_old_logits(stories, run_step):
    made, card = run_step(extend, base=stories, tokens=MARKS)
    (before, old), (tok, new) = opened(stories), opened(made)
    assert tok(TEXT)["input_ids"] == before(TEXT)["input_ids"]
    assert [tok(m, add_special_tokens=False)["input_ids"] for m in MARKS] == [[512], [513]]
    assert tok.decode([512, 513, 403], skip_special_tokens=True) == before.decode([403])
    ids = torch.tensor([before(TEXT)["input_ids"]])
    with torch.no_grad():
        assert torch.equal(new(ids).logits[..., :512], old(ids).logits)
    rows = new.get_input_embeddings().weight
    for mark, row in zip(MARKS, (512, 513), strict=True):
        pieces = before(mark, add_special_tokens=False)["input_ids"]
        assert torch.allclose(rows[row], rows[pieces].mean(0), atol=1e-3)  # it is stored as float16
    assert new.lm_head.weight is rows
    assert new.config.vocab_size == card.metrics["vocabulary"] == 514
    assert card.metrics["parameters"] == sum(p.numel() for p in new.parameters())


def test_words_of_a_text_become_one_token_and_any_text_is_read_back(stories, plays, run_step):
    made, card = run_step(extend, base=stories, data=plays, words=30, tokens=MARKS)
    (before, old), (tok, new) = opened(stories), opened(made)
    assert card.metrics["words_added"] == 30
    words = card.notes[0].removeprefix("words: ").split(", ")
    for word in words:
        assert len(tok(f"the {word}", add_special_tokens=False)["input_ids"]) == 1 + len(
            tok("the", add_special_tokens=False)["input_ids"]
        )
    for row in [*plays.rows(), {"text": "naïve 東京 \t x"}]:
        ids = tok(row["text"], add_special_tokens=False)["input_ids"]
        assert len(ids) <= len(before(row["text"], add_special_tokens=False)["input_ids"])
        assert tok.decode(ids) == row["text"]
    ids = torch.tensor([before(TEXT)["input_ids"]])
    with torch.no_grad():
        assert torch.equal(new(ids).logits[..., :512], old(ids).logits)
    assert tok.convert_tokens_to_ids(MARKS) == [len(tok) - 2, len(tok) - 1]
    word = next(w for w in words if len(before(f"x {w}")["input_ids"]) > 3)
    pieces = before(f"x {word}", add_special_tokens=False)["input_ids"][
        len(before("x", add_special_tokens=False)["input_ids"]) :
    ]
    rows = new.get_input_embeddings().weight
    assert torch.allclose(rows[tok(f"x {word}")["input_ids"][-1]], rows[pieces].mean(0), atol=1e-3)


def test_at_the_byte_level_with_an_output_layer_of_its_own_and_control_tokens_behind_the_vocabulary(
    plays, run_step, tmp_path
):
    tok, _ = run_step(train_tokenizer, data=plays, vocabulary=400)
    before = AutoTokenizer.from_pretrained(tok.path)
    before.add_special_tokens({"additional_special_tokens": ["<|user|>"]})  # its id follows the vocabulary's
    folder = tmp_path / "untied"
    before.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=416,  # more rows than tokens, as many models have
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    base = Model(folder)
    made, _ = run_step(extend, base=base, data=plays, words=20, tokens=MARKS)
    (_, old), (tok, new) = opened(base), opened(made)
    assert tok.convert_tokens_to_ids("<|user|>") == before.convert_tokens_to_ids("<|user|>") == 400
    assert new.config.vocab_size == max(416, len(tok))
    text = "<|user|>naïve 東京\n" + next(iter(plays.rows()))["text"]
    assert tok.decode(tok(text, add_special_tokens=False)["input_ids"]) == text
    for weight, same in (
        (new.lm_head.weight, old.lm_head.weight),
        (new.model.embed_tokens.weight, old.model.embed_tokens.weight),
    ):
        assert torch.equal(weight[:401], same[:401])
        for mark in MARKS:
            pieces = before(mark, add_special_tokens=False)["input_ids"]
            assert torch.allclose(weight[tok.convert_tokens_to_ids(mark)], same[pieces].mean(0), atol=1e-6)
    assert new.lm_head.weight is not new.model.embed_tokens.weight


def test_an_encoder_with_word_pieces(minilm, make_dataset, run_step):
    data = make_dataset([{"text": "The kubectl Kubectl rollout of tokenizers."}] * 6)
    made, card = run_step(extend, base=minilm, data=data, words=3, least_count=5, tokens=["[DOC]"])
    before, tok = AutoTokenizer.from_pretrained(minilm.path), AutoTokenizer.from_pretrained(made.path)
    assert len(tok.tokenize("kubectl")) == 1 < len(before.tokenize("kubectl"))
    assert tok.tokenize("[DOC] the end") == ["[DOC]", "the", "end"]
    old, new = AutoModel.from_pretrained(minilm.path).eval(), AutoModel.from_pretrained(made.path).eval()
    inputs = before("A plain sentence.", return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(new(**inputs).last_hidden_state, old(**inputs).last_hidden_state)
    assert card.metrics["vocabulary"] == len(tok) > len(before)


def test_what_cannot_be_added_is_refused(stories, plays, run_step):
    with pytest.raises(InputError, match="nothing to add"):
        run_step(extend, base=stories)
    with pytest.raises(InputError, match="there already"):
        run_step(extend, base=stories, tokens=["</s>"])
    with pytest.raises(InputError, match="there already, or twice"):
        run_step(extend, base=stories, tokens=["<a>", "<a>"])
    with pytest.raises(InputError, match="give both, or none"):
        run_step(extend, base=stories, words=3)
