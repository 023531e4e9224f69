import math
import pickle
import resource
import subprocess
import sys

import numpy as np
import pytest

import egofeat
from egofeat.errors import RequestError, StoreError
from egofeat.segments import Dataset, Segment
from egofeat.store import StoreWriter, list_stores, open_store, verify
from egofeat.store.reading.mapping import MappedRows


def test_labels_come_from_the_manifest_and_need_no_extraction(make, tmp_path):
    shards = {"s": make.rows(["a", "b", "c"])}
    classes = {"verb": ("take", "put"), "noun": ("cup",)}
    about = {
        "a": {"labels": {"verb": 1, "noun": 0}, "split": "train", "group": "P01"},
        "b": {"labels": {"verb": 0}, "split": "val", "group": "P02"},
    }
    path = make.store(tmp_path, shards)
    assert open_store(path).labels == {}
    make.writer(
        tmp_path,
        make.dataset(
            *shards.values(),
            classes=classes,
            tail={"verb": frozenset({1})},
            unseen=frozenset({"P02"}),
            **about,
        ),
    )
    store = egofeat.open_store(path)
    assert store.labels["verb"].tolist() == [1, 0, -1]
    assert store.labels["noun"].tolist() == [0, -1, -1]
    assert (store.classes, store.tail) == (classes, {"verb": frozenset({1})})
    assert store.unseen == {"P02"}
    assert store.splits.tolist() == ["train", "val", ""]
    assert store.groups.tolist() == ["P01", "P02", ""]
    assert store.rows("val").tolist() == [1]
    assert store.rows().tolist() == [0, 1, 2]
    assert (store.dataset, store.tap, store.digest) == ("mine", "gap", make.recipe().digest)
    assert store.nbytes == 3 * make.recipe().row_bytes
    assert (list(store), "a" in store, "z" in store) == (["a", "b", "c"], True, False)
    assert repr(store).endswith("gap: 3 segments × (2, 5) float16)")


def test_a_store_without_segments_json_opens_unlabelled(make, tmp_path):
    path = make.store(tmp_path, {"s": make.rows(["a", "b"]), "t": make.rows(["b"])})
    (path / "segments.json").unlink()
    store = open_store(path)
    assert store.ids.tolist() == ["a", "b"]
    assert store.labels == {}
    assert store.splits.tolist() == ["", ""]


def test_an_open_ended_segment_is_found_again(make, tmp_path):
    rows = make.rows(["a"])
    rows.stops[0] = math.inf
    path = make.store(tmp_path, {"s": rows})
    assert '"stop":[null]' in (path / "segments.json").read_text()
    assert open_store(path).stops.tolist() == [math.inf]
    assert make.writer(tmp_path, make.dataset(rows)).done() == {("a", 0.0, math.inf)}


def test_stale_and_duplicate_rows_are_passed_over_and_told(make, tmp_path):
    first, second = make.rows(["a", "b"]), make.rows(["a", "gone"], seed=1)
    path = make.store(tmp_path, {"1": first, "2": second})
    moved = Dataset("mine", {}, (Segment("a", "v", 0.0, 1.0), Segment("b", "v", 1.0, 9.0)), {})
    make.writer(tmp_path, moved)
    store = open_store(path)
    assert store.ids.tolist() == ["a"]
    np.testing.assert_array_equal(store["a"], first.taps["gap"][0])
    problems = verify(path)
    assert all(problem.harmless for problem in problems)
    told = {(problem.shard, problem.id): problem.message for problem in problems}
    assert set(told) == {("2.h5", "a"), ("1.h5", "b"), ("2.h5", "gone")}
    assert "earlier row" in told["2.h5", "a"]
    assert "manifest" in told["1.h5", "b"]
    (summary,) = list_stores(path)
    assert (summary.segments, summary.stale) == (1, 2)


def test_an_empty_store_opens(make, tmp_path):
    path = make.store(tmp_path, {})
    store = open_store(path)
    assert (len(store), store.nbytes, store.times.shape) == (0, 0, (0,))
    assert store.take(np.array([], np.int64)).shape == (0, 2, 5)
    with pytest.raises(StoreError, match=r"has 0 segments and none is 'a'$"):
        store["a"]


def test_an_unknown_segment_is_named_with_the_nearest(make, tmp_path):
    store = open_store(make.store(tmp_path, {"s": make.rows(["P01_01_3", "P02_11_4"])}))
    with pytest.raises(StoreError, match="has 2 segments and none is 'P01_01_8', the nearest is"):
        store["P01_01_8"]


def test_take_refuses_what_does_not_fit(make, tmp_path):
    store = open_store(make.store(tmp_path, {"s": make.rows(["a", "b"])}))
    with pytest.raises(IndexError):
        store.take(np.array([2]))
    with pytest.raises(ValueError, match="not a C-contiguous"):
        store.take(np.array([0]), np.empty((2, 2, 5), np.float16))
    with pytest.raises(ValueError, match="not a C-contiguous"):
        store.take(np.array([0]), np.empty((1, 5, 2), np.float16).swapaxes(1, 2))


def test_a_tap_must_be_named_where_there_are_several(make, tmp_path):
    taps = {"gap": (2, 5), "map": (2, 3, 1, 1)}
    path = make.store(tmp_path, {"s": make.rows(["a"], taps)}, make.recipe(taps))
    with pytest.raises(RequestError, match="several taps, name one of them: gap, map"):
        open_store(path)
    with pytest.raises(RequestError, match="no tap 'top', it has gap, map"):
        open_store(path, "top")
    assert open_store(path, "map")["a"].shape == (2, 3, 1, 1)


def test_a_folder_above_exactly_one_store_will_do(make, tmp_path):
    with pytest.raises(StoreError, match=r"no feature store at .*egofeat extract"):
        open_store(tmp_path)
    path = make.store(tmp_path, {"s": make.rows(["a"])})
    for folder in (path, path.parent, tmp_path):
        assert open_store(folder).ids.tolist() == ["a"]
    make.store(tmp_path, {"s": make.rows(["a"])}, make.recipe(backbone="s3d"))
    with pytest.raises(RequestError, match=r"several feature stores.*mobilenetv2-.*s3d-"):
        open_store(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"schema": 1', '"schema": 2', "newer egofeat .*upgrade"),
        ("mobilenetv2", "mobilenetv3", "altered.*delete the store"),
        ('"recipe"', '"receipt"', "damaged"),
        ('"float16",', '"float16', "damaged"),
        ('"weights"', '"wheels"', "damaged .*recipe"),
    ],
)
def test_an_altered_description_is_one_clear_sentence(make, tmp_path, old, new, message):
    path = make.store(tmp_path, {"s": make.rows(["a"])})
    file = path / "store.json"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(StoreError, match=message):
        open_store(path)
    with pytest.raises(StoreError, match=message):
        make.writer(tmp_path, make.dataset())
    (problem,) = verify(path)
    assert (problem.shard, problem.id) == ("", None)
    (summary,) = list_stores(tmp_path)
    assert summary.problem == problem.message


def test_damaged_annotations_are_named_with_the_mend(make, tmp_path):
    path = make.store(tmp_path, {"s": make.rows(["a"])})
    (path / "segments.json").write_text("{")
    with pytest.raises(StoreError, match=r"segments\.json is damaged .*extracts nothing twice"):
        open_store(path)
    make.writer(tmp_path, make.dataset(make.rows(["a"])))
    assert open_store(path).ids.tolist() == ["a"]


def test_listing_counts_and_compares_versions(make, tmp_path):
    made_with = {"egofeat": "0", "numpy": np.__version__, "device": "cpu"}
    path = make.store(
        tmp_path, {"s": make.rows(["a"])}, made_with=made_with, format="zarr", compress="zstd"
    )
    (summary,) = list_stores(tmp_path)
    assert (summary.path, summary.dataset, summary.backbone) == (path, "mine", "mobilenetv2")
    assert (summary.segments, summary.failures, summary.format) == (1, 0, "zarr")
    assert (summary.compress, summary.taps, summary.problem) == ("zstd", {"gap": (2, 5)}, "")
    assert summary.bytes > 100
    assert summary.changed == {"egofeat": ("0", egofeat.__version__)}
    next((path / "shards").iterdir()).joinpath("zarr.json").unlink()
    (summary,) = list_stores(tmp_path)
    assert "is damaged" in summary.problem


def test_no_descriptor_stays_open_and_reading_many_shards_is_one_range(make, tmp_path):
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    rows = {f"{n:03}": make.rows([f"{n}"], seed=n) for n in range(60)}
    path = make.store(tmp_path, rows)
    code = f"""
import resource, numpy as np
from egofeat import open_store
resource.setrlimit(resource.RLIMIT_NOFILE, (40, {limit}))
store = open_store({str(path)!r})
assert store.mapped and len({{store[id_].tobytes() for id_ in store}}) == 60
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_egofeat_loads_neither_torch_nor_the_format_libraries():
    code = "import sys, egofeat; print(*{'torch', 'h5py', 'zarr', 'pydantic'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == ""


def test_pages_of_a_great_store_are_handed_back(make, tmp_path, monkeypatch):
    taps = {"gap": (8, 1280)}
    store = open_store(
        make.store(tmp_path, {"s": make.rows(list("abcdefgh"), taps)}, make.recipe(taps))
    )
    monkeypatch.setattr("egofeat.store.reading.mapping.GREAT", 50_000)
    monkeypatch.setattr("egofeat.store.reading.mapping.HAND_BACK", 50_000)
    advised = []
    rows: MappedRows = store.features
    monkeypatch.setattr(rows.range, "advise", lambda *advice: advised.append(advice))
    before = store.take(store.rows())
    np.testing.assert_array_equal(store.take(store.rows()), before)
    assert len(advised) == 2
    store.advise_random(np.array([3, 1]))
    assert [len(advice) for advice in advised] == [1, 1, 1, 3, 3]
    monkeypatch.undo()  # and now with real advice
    monkeypatch.setattr("egofeat.store.reading.mapping.GREAT", 50_000)
    monkeypatch.setattr("egofeat.store.reading.mapping.HAND_BACK", 50_000)
    store.advise_random(np.array([3, 1]))
    np.testing.assert_array_equal(store.take(store.rows()), before)


def test_a_store_travels_to_another_process(make, tmp_path):
    path = make.store(tmp_path, {"s": make.rows(["a"])})
    store = pickle.loads(pickle.dumps(open_store(path)))
    assert store.ids.tolist() == ["a"]
    assert isinstance(make.writer(tmp_path, make.dataset()), StoreWriter)


def test_rows_may_be_a_mask_and_must_be_whole_numbers(make, tmp_path):
    store = open_store(make.store(tmp_path, {"s": make.rows(["a", "b", "c"])}))
    mask = np.array([False, True, True])
    np.testing.assert_array_equal(store.take(mask), store.take(np.array([1, 2])))
    for rows in (np.array([0.9]), np.array([-1]), np.array([3]), mask[:2]):
        with pytest.raises(IndexError, match="rows"):
            store.take(rows)
