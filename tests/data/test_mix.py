"""Mixtures of datasets."""

from collections import Counter

import pytest

from loomwork.core.errors import InputError
from loomwork.data.mix import mix


@pytest.fixture
def sources(make_dataset):
    return {
        "web": make_dataset([{"text": f"web {i}", "n": i} for i in range(600)]),
        "code": make_dataset([{"text": "x" * 40, "n": i, "path": f"{i}.py"} for i in range(60)]),
    }


def test_natural_shares_keep_every_row_once(sources, run_step):
    made, card = run_step(mix, data=sources)
    rows = list(made.rows())
    assert Counter(r["mixture"] for r in rows) == {"web": 600, "code": 60}
    given = {r["row_id"] for s in sources.values() for r in s.rows()}
    assert {r["origin_ids"][0] for r in rows} == given
    assert card.metrics["repeats: web"] == 1


def test_order_is_random_across_and_kept_within_a_source(sources, run_step):
    made, _ = run_step(mix, data=sources, seed=3)
    rows = list(made.rows())
    for name in sources:
        mine = [r["n"] for r in rows if r["mixture"] == name]
        assert mine == sorted(mine)
    first_half = Counter(r["mixture"] for r in rows[:330])
    assert 20 <= first_half["code"] <= 40


def test_weights_without_a_size_take_all_of_the_scarcest(sources, run_step):
    made, card = run_step(mix, data=sources, weights={"web": 1, "code": 1})
    assert Counter(r["mixture"] for r in made.rows()) == {"web": 60, "code": 60}
    assert card.metrics["share: code"] == 0.5
    dropped = list(made.select("dropped").rows())
    assert len(dropped) == card.metrics["rows_dropped"] == 540
    assert {r["reason"] for r in dropped} == {"not drawn: its source has more rows than its share"}
    kept = {r["origin_ids"][0] for r in made.select("data").rows()}
    assert kept | {r["row_id"] for r in dropped} == {r["row_id"] for s in sources.values() for r in s.rows()}


def test_a_small_source_is_read_several_times_up_to_the_limit(sources, run_step):
    made, card = run_step(mix, data=sources, weights={"web": 1, "code": 1}, size=300)
    code = Counter(r["origin_ids"][0] for r in made.rows() if r["mixture"] == "code")
    assert sum(code.values()) == 150
    assert set(code.values()) == {2, 3}
    assert card.metrics["repeats: code"] == 2.5
    with pytest.raises(InputError, match=r"read 5\.0 times"):
        run_step(mix, data=sources, weights={"web": 1, "code": 1}, size=600)


def test_shares_of_characters(sources, run_step):
    made, _ = run_step(mix, data=sources, weights={"web": 1, "code": 1}, unit="characters", size=4000)
    characters = Counter()
    for r in made.rows():
        characters[r["mixture"]] += len(r["text"])
    assert characters["web"] == pytest.approx(2000, rel=0.02)
    assert characters["code"] == pytest.approx(2000, rel=0.02)


def test_same_seed_same_rows_other_seed_other_rows(sources, run_step):
    def ids(seed):
        made, _ = run_step(mix, data=sources, weights={"web": 1, "code": 1}, seed=seed)
        return [r["row_id"] for r in made.rows()]

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)


def test_many_shards_and_a_mixture_of_mixtures(sources, run_step, monkeypatch):
    monkeypatch.setattr("loomwork.data.mix.BLOCK_ROWS", 7)
    made, _ = run_step(mix, data=sources)
    again, _ = run_step(mix, data={"both": made, "web": sources["web"]}, name_column="outer")
    assert len(again) == 1260
    with pytest.raises(InputError, match="has a column 'mixture'"):
        run_step(mix, data={"both": made})


def test_refused(sources, make_dataset, run_step):
    with pytest.raises(InputError, match="no source"):
        run_step(mix, data={})
    with pytest.raises(InputError, match="source 'none'"):
        run_step(mix, data=sources | {"none": make_dataset([])})
    with pytest.raises(InputError, match="weights for"):
        run_step(mix, data=sources, weights={"web": 1, "cod": 1})
    with pytest.raises(InputError, match="no column 'body'"):
        run_step(mix, data=sources, unit="characters", column="body")


def test_sources_that_cannot_be_one_dataset_are_refused(make_dataset, run_step):
    sources = {"a": make_dataset([{"text": "x", "n": 1}]), "b": make_dataset([{"text": "y", "n": "one"}])}
    with pytest.raises(InputError, match="column 'n' holds int64 in a and string in b"):
        run_step(mix, data=sources)
    fits = {"a": make_dataset([{"text": "x", "n": 1}]), "b": make_dataset([{"text": "y", "n": 1.5}])}
    assert sorted(r["n"] for r in run_step(mix, data=fits)[0].rows()) == [1.0, 1.5]
