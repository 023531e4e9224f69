import pytest

from egofeat.errors import StoreError
from egofeat.store import is_superseded, list_stores, open_store, supersede


def test_a_superseded_store_is_left_aside_and_opens_by_name(make, tmp_path):
    shards = {"s": make.rows(["a"])}
    old = make.store(tmp_path, shards)
    aside = supersede(old)
    assert aside == old.with_name(f"{old.name}.superseded-1")
    assert (old.exists(), is_superseded(aside), is_superseded(old)) == (False, True, False)
    with pytest.raises(StoreError, match=r"superseded stores only, name one .*superseded-1$"):
        open_store(tmp_path)
    new = make.store(tmp_path, {"s": make.rows(["b"])})
    assert open_store(tmp_path).ids.tolist() == ["b"]
    assert open_store(aside).ids.tolist() == ["a"]
    assert [(one.path, one.superseded) for one in list_stores(tmp_path)] == [
        (new, False),
        (aside, True),
    ]


def test_each_takes_the_first_free_number(make, tmp_path):
    aside = [supersede(make.store(tmp_path, {"s": make.rows(["a"])})) for _ in range(3)]
    assert [path.suffix for path in aside] == [f".superseded-{n}" for n in (1, 2, 3)]
    aside[1].rename(tmp_path / "elsewhere")
    assert supersede(make.store(tmp_path, {})) == aside[1]


def test_what_cannot_be_renamed_is_said(tmp_path):
    with pytest.raises(FileNotFoundError):
        supersede(tmp_path / "nothing")


def test_a_damaged_superseded_store_is_listed_as_such(make, tmp_path):
    aside = supersede(make.store(tmp_path, {}))
    (aside / "store.json").write_text("{")
    (summary,) = list_stores(tmp_path)
    assert (summary.superseded, "damaged" in summary.problem) == (True, True)
