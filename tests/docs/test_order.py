"""The clips of the studies of order: those played backwards are the others' frames, to the bit."""

import importlib.util
from pathlib import Path

import av
import numpy as np

from egofeat.manifest import load_manifest

DATA = Path(__file__).parents[2] / "studies/data"
_SPEC = importlib.util.spec_from_file_location("order", DATA / "order.py")
assert _SPEC
assert _SPEC.loader
order = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(order)


def planes(path):
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="yuv420p") for frame in film.decode(video=0)]


def test_clips_are_drawn_and_the_reversed_ones_are_exact(tmp_path, monkeypatch):
    monkeypatch.setattr(order, "ROOT", tmp_path)
    frames = np.random.default_rng(0).integers(0, 256, (60, 96, 128, 3), dtype=np.uint8)
    sets = (("train", "open", "P01_01_0", frames), ("test", "close", "P10_01_3", frames))
    monkeypatch.setattr(order, "drawn", lambda: iter(sets))
    order.main()
    out = tmp_path / "order/drawn"
    forward, backward = (
        planes(out / split / "close/P10_01_3.mp4") for split in ("test", "reversed")
    )
    assert len(forward) == order.FRAMES
    assert all(np.array_equal(a, b) for a, b in zip(forward, backward[::-1], strict=True))
    assert not np.array_equal(forward[0], forward[-1])
    assert not (out / "reversed/open").exists()
    (tmp_path / "studies/data").mkdir(parents=True)
    manifest = tmp_path / "studies/data/order.yaml"
    manifest.write_text((DATA / "order.yaml").read_text())
    found = load_manifest(manifest).dataset("drawn")
    assert sorted({one.split for one in found.segments}) == ["reversed", "test", "train"]
    assert {one.group for one in found.segments} == {"P01", "P10"}
