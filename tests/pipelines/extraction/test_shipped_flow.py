"""Flow as EPIC-KITCHENS ships it, beside its colours: the right frames, and stores that join."""

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from egofeat.extract.video import open_video
from egofeat.manifest import load_manifest
from egofeat.pipelines.extraction import extract, refresh
from egofeat.pipelines.extraction.job import plan_job, together
from egofeat.pipelines.extraction.options import ExtractConfig, ReextractConfig
from egofeat.pipelines.extraction.reextract import swap
from egofeat.store import open_store, open_stores, verify

COLUMNS = "narration_id,participant_id,video_id,start_timestamp,stop_timestamp,start_frame,"
COLUMNS += "stop_frame,verb_class,noun_class"
FILES = {
    "EPIC_100_train.csv": f"{COLUMNS}\n"
    "P01_01_0,P01,P01_01,00:00:00.14,00:00:03.37,8,202,0,1\n"
    "P01_01_1,P01,P01_01,00:00:02.00,00:00:03.00,120,180,1,0\n",
    "EPIC_100_validation.csv": f"{COLUMNS}\n",
    "EPIC_100_verb_classes.csv": "id,key,category\n0,take,a\n1,put,b\n",
    "EPIC_100_noun_classes.csv": "id,key,category\n0,tap,a\n1,cup,b\n",
    "EPIC_100_tail_verbs.csv": "verb\n1\n",
    "EPIC_100_tail_nouns.csv": "noun\n0\n",
    "EPIC_100_unseen_participant_ids_validation.csv": "participant_id\nP18\n",
}


def pack(path: Path, members: dict[str, int]) -> None:
    """A tar of grey images of the given levels."""
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w") as archive:
        for name, level in members.items():
            encoded = io.BytesIO()
            Image.new("L", (16, 16), level).save(encoded, "PNG")
            info = tarfile.TarInfo(name)
            info.size = encoded.tell()
            encoded.seek(0)
            archive.addfile(info, encoded)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colours 1 to 210, and flow 1 to 105 of which u and v are the frame's number."""
    root = tmp_path_factory.mktemp("epic")
    (root / "notes").mkdir()
    for name, text in FILES.items():
        (root / "notes" / name).write_text(text)
    media = root / "media/P01"
    pack(media / "rgb_frames/P01_01.tar", {f"frame_{n:010}.png": n for n in range(1, 211)})
    flow = {f"{axis}/frame_{n:010}.png": n for axis in "uv" for n in range(1, 106)}
    pack(media / "flow_frames/P01_01.tar", flow)
    shared = "format: epic-kitchens-100, media: media, annotations: notes"
    (root / "m.yaml").write_text(
        f"version: 1\ndefault: epic\ndatasets:\n  epic: {{{shared}, frames: tars}}\n"
        f"  epic-flow: {{{shared}, frames: flow, dataset: epic}}\n"
        "  epic-videos: {format: epic-kitchens-100, media: notes, annotations: notes, "
        "dataset: epic}\n"
    )
    return root / "m.yaml"


def config(out: Path, **changes) -> ExtractConfig:
    plain = {"weights": "random", "frames": 4, "size": 64, "device": "cpu", "workers": 1}
    return ExtractConfig(**{"out": out, "backbone": "flow_grid", **plain, **changes})


def test_the_frames_of_flow_are_those_of_the_colours(manifest: Path, tmp_path: Path) -> None:
    dataset = load_manifest(manifest).dataset("epic-flow")
    job = plan_job(config(tmp_path, motion="frames"), dataset)
    segment = dataset.segments[0]
    with open_video(dataset.media["P01_01"]) as source:
        plan = job.recipe.plan.plan(segment.start, segment.stop, source.times, source.stop)
        seen = source.frames(plan.indices[:, 0].tolist())[:, 0, 0, :2]
    # RGB 8 to 202 is flow 4 to 101.
    assert seen.tolist() == [[n, n] for n in (16, 40, 65, 89)]


def test_flow_joins_the_colours_of_its_data_set(manifest: Path, tmp_path: Path) -> None:
    entries = load_manifest(manifest)
    colours = extract.run(config(tmp_path, backbone="mobilenetv2"), entries.dataset("epic"))
    flow = extract.run(config(tmp_path, motion="frames"), entries.dataset("epic-flow"))
    assert (colours.extracted, flow.extracted, flow.failed) == (2, 2, 0)
    assert Path(colours.store).parent == Path(flow.store).parent == tmp_path / "epic"
    assert verify(Path(flow.store)) == []
    joined = open_stores([colours.store, flow.store])
    assert joined.ids.tolist() == ["P01_01_0", "P01_01_1"]
    assert joined.tail == {"verb": {1}, "noun": {0}}
    assert set(joined.classes) == {"verb", "noun", "verb_category", "noun_category"}
    np.testing.assert_allclose(open_store(flow.store).starts, open_store(colours.store).starts)


def test_colours_by_time_stamps_are_the_same_segments(manifest: Path, tmp_path: Path) -> None:
    """Times of videos and numbers of frames differ by the rounding, and by no more."""
    entries = load_manifest(manifest)
    flow = extract.run(config(tmp_path, motion="frames"), entries.dataset("epic-flow"))
    by_time = entries.dataset("epic-videos")
    tar = entries.dataset("epic").media["P01_01"]
    videos = extract.run(
        config(tmp_path, backbone="mobilenetv2"), replace(by_time, media={"P01_01": tar})
    )
    assert open_stores([videos.store, flow.store]).ids.tolist() == ["P01_01_0", "P01_01_1"]


def test_flow_is_extracted_again_from_flow(manifest: Path, tmp_path: Path) -> None:
    """A store names its data set, which two entries read: the one of its own kind is meant."""
    entries = load_manifest(manifest)
    extract.run(config(tmp_path, backbone="mobilenetv2"), entries.dataset("epic"))
    flow = extract.run(config(tmp_path, motion="frames"), entries.dataset("epic-flow"))
    own = ReextractConfig(manifest=manifest, out=tmp_path, device="cpu", workers=1)
    assert refresh.stale_stores("epic", own) == []
    tar = entries.dataset("epic-flow").media["P01_01"].path
    (job,) = swap(Path(flow.store), ["i3d_flow"], own, weights=["random"])
    assert job.dataset.media["P01_01"].path == tar
    assert len(job.segments) == 2
    colours = plan_job(config(tmp_path, backbone="mobilenetv2"), entries.dataset("epic"))
    assert together([job, colours]) == [[0], [1]]
    os.utime(tar, (1, 1))
    (stale,) = refresh.stale_stores("epic", own)
    (report,) = refresh.refresh([stale], own).stores
    assert (report.store, report.extracted, report.failed) == (flow.store, 2, 0)
