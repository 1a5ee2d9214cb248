"""Byte-level BPE: reads back what it wrote, opens in transformers, the same bytes each time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.train.tokenizer import BEGIN, END, tokenizer

STDLIB = Path(subprocess.__file__).parent


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Dataset:
    """Real text: three modules of the standard library, a line a row."""
    out = tmp_path_factory.mktemp("corpus")
    with DatasetWriter(out, shard_rows=2000) as w:
        for name in ("argparse", "subprocess", "inspect"):
            w.write([{"text": line} for line in (STDLIB / f"{name}.py").read_text().splitlines(keepends=True)])
    return Dataset(out)


@pytest.fixture(scope="module")
def made(corpus, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("tokenizer")
    card = tokenizer(corpus, vocabulary=1000, out=out)
    assert card.metrics["vocabulary"] == 1000
    assert card.metrics["bytes_per_token"] > 2.5
    return out


@settings(max_examples=200, deadline=None)
@given(text=st.text() | st.text(alphabet="ab \n\t'\u0301é東🙂") | st.sampled_from([f"a{END}b", BEGIN, "  x\r\n\n"]))
def test_any_text_is_read_back_as_it_was_written(made, text):
    opened = _opened(made)
    ids = opened.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert opened.decode(ids, clean_up_tokenization_spaces=False) == text
    assert not {0, 1} & set(ids)


_cache: dict[Path, PreTrainedTokenizerFast] = {}


def _opened(folder: Path) -> PreTrainedTokenizerFast:
    return _cache.setdefault(folder, PreTrainedTokenizerFast.from_pretrained(folder))


def test_it_opens_in_transformers_and_begins_texts(made):
    for opened in (PreTrainedTokenizerFast.from_pretrained(made), AutoTokenizer.from_pretrained(made)):
        assert (opened.bos_token_id, opened.eos_token_id, len(opened)) == (0, 1, 1000)
        ids = opened("def __init__(self):")["input_ids"]
        assert ids[0] == 0
        assert len(ids) < 9
        assert opened.decode(ids, skip_special_tokens=True) == "def __init__(self):"


def test_the_same_text_gives_the_same_bytes_in_another_process(corpus, made, tmp_path):
    code = (
        "import sys; from pathlib import Path; from loomwork.core.dataset import Dataset;"
        "from loomwork.train.tokenizer import tokenizer;"
        "tokenizer(Dataset(Path(sys.argv[1])), vocabulary=1000, out=Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", code, corpus.path, tmp_path], check=True, env={"RAYON_NUM_THREADS": "1"})
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / file).read_bytes() == (made / file).read_bytes()


def test_a_small_text_gives_fewer_tokens_and_says_so(run_step, make_dataset):
    folder, card = run_step(tokenizer, data=make_dataset([{"text": "to be or not to be"}, {"text": None}]))
    assert card.metrics["vocabulary"] < 300
    assert "not 8192" in card.notes[0]
    assert folder.manifest["parts"].keys() == {"tokenizer.json", "tokenizer_config.json"}


def test_what_cannot_be_trained_on_is_refused(run_step, make_dataset):
    rows = make_dataset([{"text": "a"}])
    with pytest.raises(InputError, match="258"):
        run_step(tokenizer, data=rows, vocabulary=100)
    with pytest.raises(InputError, match="did you mean 'text'"):
        run_step(tokenizer, data=rows, text="txt")
    with pytest.raises(InputError, match="no rows"):
        run_step(tokenizer, data=Dataset(_empty(rows)))


def _empty(like: Dataset) -> Path:
    out = like.path.parent / "empty"
    out.mkdir()
    with DatasetWriter(out) as w:
        w.write(like.table().slice(0, 0))
    return out
