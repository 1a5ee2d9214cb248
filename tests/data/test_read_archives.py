"""Compressed files and archives: members are read by their own readers; what could do harm is refused and counted."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import stat
import struct
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from loomwork.core.errors import InputError
from loomwork.data.read import read
from tests.data.read_rows import reasons, rows_of, texts, zipped

LINES = b'{"text": "one"}\n{"text": "two"}\n'
COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress}


def tarred(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_files_are_read_also_when_there_are_several_in_one(suffix, tmp_path, run_step):
    (tmp_path / f"a.jsonl{suffix}").write_bytes(COMPRESS[suffix](LINES) + COMPRESS[suffix](b'"three"\n'))
    (tmp_path / f"b.csv{suffix.upper()}").write_bytes(COMPRESS[suffix](b"text,n\nfour,4\n"))
    data, card = run_step(read, path=tmp_path)
    a = f"a.jsonl{suffix}"
    assert texts(data) == [
        (f"{a}:1", "one"),
        (f"{a}:2", "two"),
        (f"{a}:3", "three"),
        (f"b.csv{suffix.upper()}:2", "four"),
    ]
    assert (card.metrics["files"], card.metrics["rows_dropped"]) == (2, 0)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_what_stands_before_a_break_is_kept(suffix, tmp_path, run_step):
    lines = b"".join(
        b'{"text": "%s"}\n' % os.urandom(60).hex().encode() for _ in range(15000)
    )  # bzip2 has blocks of 900 kB
    packed = COMPRESS[suffix](lines)
    (tmp_path / f"a.jsonl{suffix}").write_bytes(packed[: len(packed) * 2 // 3])
    (tmp_path / "b.jsonl").write_bytes(LINES)
    data, card = run_step(read, path=tmp_path)
    dropped = dict(reasons(data))
    assert dropped.pop(f"a.jsonl{suffix}") == "damaged file"
    assert set(dropped.values()) <= {"not JSON"}  # the line in which the break is
    read_lines = [r["text"] for r in rows_of(data) if r["source"].startswith("a.")]
    assert len(read_lines) > 1000
    assert read_lines == [line[10:-2].decode() for line in lines.splitlines()[: len(read_lines)]]
    assert card.metrics["rows"] == len(read_lines) + 2


@pytest.mark.parametrize("suffix", ["", *COMPRESS])
def test_members_of_archives_in_archives_have_their_place(suffix, tmp_path, run_step):
    table = io.BytesIO()
    pq.write_table(pa.table({"text": ["r"], "n": [1.5]}), table)
    inner = tarred(
        **{"deep/a__jsonl": LINES, "b__parquet": table.getvalue(), "c__csv__gz": gzip.compress(b"text\nc\n")}
    )
    name = f"in.tar{suffix}"
    zipped(
        tmp_path / "all.zip", **{name: COMPRESS.get(suffix, bytes)(inner), "folder/n__md": b"# Note", "o__xyz": b"?"}
    )
    data, card = run_step(read, path=tmp_path / "all.zip")
    assert texts(data) == [
        (f"all.zip!{name}!deep/a.jsonl:1", "one"),
        (f"all.zip!{name}!deep/a.jsonl:2", "two"),
        (f"all.zip!{name}!b.parquet:1", "r"),
        (f"all.zip!{name}!c.csv.gz:2", "c"),
        ("all.zip!folder/n.md", "# Note"),
    ]
    assert reasons(data) == [("all.zip!o.xyz", "unknown format")]
    assert card.metrics["files"] == 5


def test_short_names_of_tar_and_parquet_in_gz(tmp_path, run_step):
    table = io.BytesIO()
    pq.write_table(pa.table({"text": ["r"]}), table)
    (tmp_path / "a.tgz").write_bytes(gzip.compress(tarred(**{"a__txt": b"one"})))
    (tmp_path / "b.parquet.gz").write_bytes(gzip.compress(table.getvalue()))
    data, _ = run_step(read, path=tmp_path)
    assert texts(data) == [("a.tgz!a.txt", "one"), ("b.parquet.gz:1", "r")]


def test_paths_that_lead_out_links_and_devices_are_refused(tmp_path, run_step):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("ok.txt", "../up.txt", "/root.txt", "x/../../up.txt", "C:\\disk.txt", "a\\..\\..\\up.txt"):
            archive.writestr(name, "kept")
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        for name in ("ok.txt", "../up.txt", "/root.txt"):
            info = tarfile.TarInfo(name)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"kept"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("odd.txt")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    data, card = run_step(read, path=tmp_path)
    assert texts(data) == [("a.zip!ok.txt", "kept"), ("b.tar!ok.txt", "kept")]
    assert card.metrics["dropped: refused member"] == 6 + 6 == card.metrics["rows_dropped"]
    assert not list(tmp_path.parent.glob("*.txt"))


def bomb(size: int) -> bytes:
    return gzip.compress(b"\0" * size)


@pytest.mark.parametrize("kind", ["gz", "zst", "bz2", "zip", "tar", "nested"])
def test_bombs_are_refused_and_the_rest_goes_on(kind, tmp_path, run_step):
    zeros = bytes(80 << 20)
    if kind in ("gz", "zst", "bz2"):
        (tmp_path / f"bomb.txt.{kind}").write_bytes(COMPRESS[f".{kind}"](zeros))
        source = f"bomb.txt.{kind}"
    elif kind == "zip":
        source = zipped(tmp_path / "bomb.zip", a__txt=zeros, b__txt=b"after").name
    elif kind == "tar":
        (tmp_path / "bomb.tgz").write_bytes(gzip.compress(tarred(a__txt=zeros)))
        source = "bomb.tgz"
    else:  # each level is modest, the whole is not
        inner = zipped(tmp_path / "inner", **{f"m{i}__txt": zeros[: 16 << 20] for i in range(8)}).read_bytes()
        (tmp_path / "inner").unlink()
        source = zipped(tmp_path / "bomb.zip", inner__zip=inner).name
    (tmp_path / "z.txt").write_text("goes on")
    data, card = run_step(read, path=tmp_path)
    (dropped,) = [r for r in rows_of(data, "dropped") if r["reason"].startswith("refused")]
    assert dropped["source"] == source
    assert "200 times" in dropped["reason"]
    assert "max_ratio" in dropped["reason"]
    assert texts(data)[-1] == ("z.txt", "goes on")
    assert card.metrics["dropped: refused"] == 1


def test_the_limits_are_settings(tmp_path, run_step):
    text = b"word " * (14 << 20)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text))
    with pytest.raises(InputError, match="archive bomb"):
        run_step(read, path=tmp_path / "a.txt.gz", max_ratio=100)
    data, _ = run_step(read, path=tmp_path / "a.txt.gz", max_ratio=1000)
    assert len(rows_of(data)[0]["text"]) == len(text)
    with pytest.raises(InputError, match="max_unpacked_bytes"):
        run_step(read, path=tmp_path / "a.txt.gz", max_ratio=1000, max_unpacked_bytes=1000)


def test_members_that_overlap_are_counted_each(tmp_path, run_step):
    """Fifield's bomb: many entries of one zip give the same compressed bytes."""
    content = bytes(2 << 20)
    path = zipped(tmp_path / "a.zip", a__txt=content)
    raw = path.read_bytes()
    start = raw.index(b"PK\x01\x02")
    entry, end = raw[start : start + 46 + 5], raw[start + 46 + 5 :]
    many = 60
    head, tail = end[:8], end[22:]
    path.write_bytes(
        raw[:start] + entry * many + head + struct.pack("<HHIIH", many, many, len(entry) * many, start, 0) + tail
    )
    _, card = run_step(read, path=path)
    if "dropped: damaged file" in card.metrics:  # newer Pythons see that they overlap
        assert (card.metrics["rows"], card.metrics["dropped: damaged file"]) == (1, many - 1)
    else:
        assert (card.metrics["rows"], card.metrics["dropped: refused"]) == (32, 1)  # 64 MB in all


def test_damaged_and_encrypted_archives_are_counted(tmp_path, run_step):
    whole = zipped(tmp_path / "cut.zip", a__txt=b"one", b__txt=os.urandom(9999).hex().encode()).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-30])
    damaged = bytearray(whole)
    damaged[200:230] = bytes(30)
    (tmp_path / "damaged.zip").write_bytes(damaged)
    locked = bytearray(zipped(tmp_path / "locked.zip", a__txt=b"one").read_bytes())
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    lines = b"".join(b'{"text": "%s"}\n' % os.urandom(60).hex().encode() for _ in range(5000))
    (tmp_path / "short.tar").write_bytes(tarred(a__txt=b"one", b__jsonl=lines)[:-300_000])
    (tmp_path / "short.tgz").write_bytes(gzip.compress(tarred(a__txt=b"one", b__jsonl=lines))[:-100_000])
    (tmp_path / "no.zip").write_bytes(b"this is no zip")
    (tmp_path / "no.tar").write_bytes(b"this is no tar")
    data, _ = run_step(read, path=tmp_path)
    found = dict(reasons(data))
    assert found["cut.zip"] == found["damaged.zip!b.txt"] == found["no.zip"] == found["no.tar"] == "damaged file"
    assert found["locked.zip"] == "encrypted member"
    assert found["short.tar!b.jsonl"] == "damaged file"
    assert "damaged file" in (found.get("short.tgz!b.jsonl"), found.get("short.tgz"))
    kept = [source for source, _ in texts(data)]
    assert {"damaged.zip!a.txt", "short.tar!a.txt", "short.tgz!a.txt"} <= set(kept)
    for name in ("short.tar", "short.tgz"):
        assert len([k for k in kept if k.startswith(f"{name}!b.jsonl")]) > 1000


def test_archives_nested_without_end_are_left(tmp_path, run_step):
    content = b"deep"
    for i in range(7):
        content = zipped(tmp_path / "a.zip", **{"a__txt" if i == 0 else "a__zip": content}).read_bytes()
    with pytest.raises(InputError, match="nested too deeply"):
        run_step(read, path=tmp_path / "a.zip")


def test_a_real_archive_is_read(test_data, run_step):
    with zipfile.ZipFile(test_data / "web/nps_chat.zip") as archive:
        names = [i.filename for i in archive.infolist() if not i.is_dir()]
    _, card = run_step(read, path=test_data / "web/nps_chat.zip", reader="text")
    assert card.metrics["files"] == len(names)
    assert card.metrics["rows"] + card.metrics["rows_dropped"] == len(names)


def test_what_stands_before_the_damage_of_a_gz_is_read(tmp_path, run_step):
    rows = [{"text": random.Random(i).randbytes(8).hex()} for i in range(2000)]
    packed = bytearray(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    middle = len(packed) // 2
    packed[middle : middle + 40] = b"\xff" * 40
    (tmp_path / "a.jsonl.gz").write_bytes(packed)
    (tmp_path / "b.txt").write_text("goes on")
    data, card = run_step(read, path=tmp_path)
    got = [r["text"] for r in rows_of(data) if r["source"].startswith("a.")]
    assert len(got) > 800
    assert got[:800] == [row["text"] for row in rows[:800]]
    assert card.metrics["dropped: damaged file"] == 1
