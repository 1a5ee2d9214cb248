"""A corpus larger than the memory that cleaning, filtering and near-duplicate removal may take for it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from loomwork.core.dataset import Dataset, DatasetWriter

CORPUS_BYTES = float(os.environ.get("LOOMWORK_TEST_CORPUS_BYTES", 5e9))
MOST_BYTES = 4e9
SENTENCES = 24  # of a document
BATCH = 4096
LINE = 3  # sentences
NOTICE = "Tell your friends about this page, and come back soon for more of the same."  # in every second document
RULES = [{"length": {"min_words": 150}}, "gopher_quality", "gopher_repetition"]
STEPS = {  # cleaning as in recipes/curate.yaml: lines of boilerplate are counted in a first pass
    "clean": "from loomwork.data.clean import clean; "
    "clean(data, repair_encoding=True, markup=['html'], boilerplate_documents=5, boilerplate_share=0.3, out=out)",
    "filter": f"from loomwork.data.filter import filter; filter(data, rules={RULES!r}, out=out)",
    "near_dedup": "from loomwork.data.near_dedup import near_dedup; near_dedup(data, out=out)",
}
CALL = "import sys; from pathlib import Path; from loomwork.core.dataset import Dataset; out = Path(sys.argv[2]); "


def generated(out: Path, size: float) -> dict[str, int]:
    """Documents of some 2.7 KB until there are so many bytes, of lines that hardly any other has: one in ten is an
    earlier one of its batch with a sentence changed, one in twenty is short, one in two ends with the same notice.
    """
    chance = np.random.default_rng(0)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]  # no digits: to clean, all numbers are one
    words = np.array(["".join(word) for word in itertools.product("bdgklmnpstvwz", "aeiou", letters, "aeiou", "lnr")])
    drawn = words[chance.integers(0, words.size, (200_000, 15))].tolist()
    sentences = [" ".join([*row[:5], "the", *row[5:10], "and", *row[10:]]) + "." for row in drawn]
    counts, written = {"copies": 0, "short": 0, "rows": 0}, 0
    with DatasetWriter(out) as writer:
        while written < size:
            rows = chance.integers(0, len(sentences), (BATCH, SENTENCES))
            copies = BATCH // 10
            rows[-copies:] = rows[:copies]
            rows[-copies:, 3] = chance.integers(0, len(sentences), copies)
            texts = [
                "\n".join(" ".join([sentences[i] for i in row[at : at + LINE]]) for at in range(0, SENTENCES, LINE))
                for row in rows.tolist()
            ]
            for i in range(copies, copies + BATCH // 20):
                texts[i] = texts[i][:300]
            texts[::2] = [f"{text}\n{NOTICE}" for text in texts[::2]]
            writer.write(pa.table({"text": texts}))
            written += sum(map(len, texts))
            counts["rows"] += BATCH
            counts["copies"] += copies
            counts["short"] += BATCH // 20
    return counts


def anonymous_peak(code: str, *arguments: str) -> int:
    """The most anonymous memory, in bytes, that a process takes; mapped files and their cache are not counted."""
    process = subprocess.Popen([sys.executable, "-c", code, *arguments])
    status, peak = Path(f"/proc/{process.pid}/status"), 0
    while process.poll() is None:
        lines = status.read_text().splitlines()
        peak = max([peak, *(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))])
        time.sleep(0.02)
    assert process.returncode == 0
    return peak


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to tell anonymous memory")
def test_a_large_corpus_passes_in_bounded_memory(tmp_path):
    """5 GB, and 16 GB of disk; LOOMWORK_TEST_CORPUS_BYTES makes it smaller."""
    place = tmp_path / "raw"
    place.mkdir()
    counts = generated(place, CORPUS_BYTES)
    rows = {}
    for name, call in STEPS.items():
        out = tmp_path / name
        out.mkdir()
        peak = anonymous_peak(f"{CALL}data = Dataset(Path(sys.argv[1]), 'data'); {call}", str(place), str(out))
        print(f"{name}: {peak / 1e9:.2f} GB of anonymous memory")
        assert peak < MOST_BYTES
        rows[name] = len(Dataset(out, "data"))
        for file in (place / "data").iterdir():
            file.unlink()  # disk is bounded too
        place = out
    left = next(Dataset(place, "data").tables(["text"])).column("text").to_pylist()
    assert not any(NOTICE in text for text in left)
    assert rows["clean"] == counts["rows"]
    assert rows["filter"] == counts["rows"] - counts["short"]
    assert abs(counts["copies"] - (rows["filter"] - rows["near_dedup"])) <= counts["copies"] // 1000
