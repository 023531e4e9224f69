"""Persons cut out of maps: the numbers by another route, what fails, what is done twice."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import roi_align

from egofeat.boxes import Boxes, boxes_digest, key_frame_id
from egofeat.errors import RequestError
from egofeat.extract.backbones import load
from egofeat.extract.batches import filling
from egofeat.extract.video import open_video
from egofeat.pipelines.extraction import extract
from egofeat.pipelines.extraction.in_memory import Maker, PersonFeatures
from egofeat.pipelines.extraction.options import ExtractConfig, RoiConfig
from egofeat.pipelines.extraction.roi_options import choose_align, grid_of
from egofeat.pipelines.persons.roi_from_maps import FromMapsConfig, cut_from_maps
from egofeat.recipe import RoiAlign
from egofeat.recipe.moments import frames_at
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import open_persons, open_store, progress_of, verify

PEOPLE = {
    "wide": {"0000": [[0.0, 0.1, 0.5, 0.9], [0.4, 0.0, 1.0, 1.0]], "0001": [[0.2, 0.2, 0.3, 0.8]]},
    "tall": {"0000": [[0.1, 0.1, 0.9, 0.4]], "0001": [], "0007": [[0.0, 0.0, 1.0, 1.0]]},
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two videos of two seconds of moving waves, one wide and one tall."""
    folder = tmp_path_factory.mktemp("videos")
    for name, (width, height) in {"wide": (160, 96), "tall": (96, 128)}.items():
        rows, columns = np.mgrid[:height, :width]
        with av.open(str(folder / f"{name}.mp4"), "w") as output:
            stream = output.add_stream(
                "libx264", rate=10, options={"x264-params": "log-level=none"}
            )
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for number in range(20):
                wave = 128 + 100 * np.sin((columns + 5 * number) / 9) * np.cos((rows - number) / 7)
                frame = np.repeat(wave[..., None], 3, 2).astype(np.uint8)
                output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            output.mux(stream.encode(None))
    return folder


@pytest.fixture
def dataset(videos):
    segments, boxes = [], {}
    for video, stamps in PEOPLE.items():
        for stamp, corners in stamps.items():
            id_ = key_frame_id(video, stamp)
            segments.append(Segment(id_, video, float(stamp), float(stamp) + 1, split="train"))
            boxes[id_] = Boxes.of(corners, actions=[[k] for k in range(len(corners))])
    return Dataset(
        name="people",
        media={name: Media(videos / f"{name}.mp4") for name in PEOPLE},
        segments=tuple(segments),
        classes={"action": ("sit", "stand")},
        key_frames=True,
        boxes=boxes,
    )


@pytest.fixture
def config(tmp_path):
    return ExtractConfig(
        backbone="mobilenetv2",
        out=tmp_path / "features",
        weights="random",
        taps=("roi", "roi_map"),
        size=64,
        roi=RoiConfig(),
        device="cpu",
        dtype="float32",
        batch_size=2,
        workers=1,
    )


def relative(ours, theirs) -> float:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def by_hand(path: Path, moment: float, corners: list[list[float]], tap: str) -> torch.Tensor:
    """One key frame's persons from its whole frame, by torchvision alone."""
    with open_video(Media(path)) as source:
        frame = source.frames([int(frames_at(np.array(moment), source.times))])[0]
    picture = torch.from_numpy(frame).permute(2, 0, 1)
    from torchvision.transforms.functional import resize

    small = resize(picture, [64], antialias=True).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    batch = ((small - mean[:, None, None]) / std[:, None, None])[None]
    maps = load("mobilenetv2", "random", ["map"])(batch)["map"]
    high, wide = batch.shape[2:]
    pixels = torch.tensor(corners) * torch.tensor([wide, high, wide, high])
    regions = roi_align(maps, [pixels], 7, 1 / 32, sampling_ratio=0, aligned=False)
    return regions.amax((2, 3)) if tap == "roi" else regions


def test_features_are_those_of_another_route(config, dataset, videos):
    report = extract.run(config, dataset)
    assert (report.extracted, report.failed) == (3, 1)
    assert not verify(Path(report.store))
    for tap in ("roi", "roi_map"):
        store = open_store(report.store, tap)
        assert sorted(store.ids) == ["tall_0000", "wide_0000", "wide_0001"]
        for id_ in store.ids:
            video, stamp = id_.split("_")
            corners = PEOPLE[video][stamp]
            expected = by_hand(videos / f"{video}.mp4", float(stamp), corners, tap)
            assert relative(store[id_], expected) < 1e-4


def test_rows_carry_their_boxes_and_actions(config, dataset):
    report = extract.run(config, dataset)
    rows = open_persons(report.store, "roi")
    assert rows.row_shape == (1, 1280)
    for row, id_ in enumerate(rows.ids):
        same = [k for k in range(len(rows.ids)) if rows.ids[k] == id_]
        video, stamp = id_.split("_")
        place = same.index(row)
        np.testing.assert_array_equal(rows.boxes[row], np.float32(PEOPLE[video][stamp][place]))
        assert rows.labels["action"][row].tolist() == [place == 0, place == 1]
    assert rows.annotated.all()


def test_a_key_frame_past_the_end_is_a_failure_and_one_without_boxes_is_told(
    config, dataset, capsys
):
    report = extract.run(config, dataset)
    (failures,) = Path(report.store).glob("failures-*.jsonl")
    assert "begins at 7.000 s, past the end at 2.000 s" in failures.read_text()
    assert "without" in capsys.readouterr().err  # tall_0001 has nobody in it


def test_a_feature_does_not_depend_on_its_batch(config, dataset, tmp_path):
    one, four = (
        extract.run(replace(config, batch_size=size, out=tmp_path / str(size)), dataset)
        for size in (1, 4)
    )
    for tap in ("roi", "roi_map"):
        alone, together = open_store(one.store, tap), open_store(four.store, tap)
        for id_ in alone.ids:
            assert relative(alone[id_], together[id_]) < 1e-4


def test_moments_that_show_one_frame_keep_their_own_boxes(config, dataset, videos):
    twin = Segment("wide_0.01", "wide", 0.01, 1.01, split="train")
    corners = [[0.5, 0.5, 0.8, 0.8], [0.1, 0.1, 0.2, 0.9], [0.0, 0.0, 0.3, 0.3]]
    both = replace(
        dataset,
        segments=(*dataset.segments, twin),
        boxes={**dataset.boxes, twin.id: Boxes.of(corners, actions=[[], [], []])},
    )
    report = extract.run(config, both)
    store = open_store(report.store, "roi")
    for id_, of_frame in ((twin.id, corners), ("wide_0000", PEOPLE["wide"]["0000"])):
        expected = by_hand(videos / "wide.mp4", 0.0, of_frame, "roi")
        assert relative(store[id_], expected) < 1e-4


def test_a_second_run_does_nothing_and_other_boxes_are_another_store(config, dataset, tmp_path):
    first = extract.run(config, dataset)
    again = extract.run(config, dataset)
    assert (again.extracted, again.skipped, again.failed, again.frames) == (0, 3, 1, 0)
    csv = tmp_path / "found.csv"
    csv.write_text("wide,0,0.1,0.1,0.5,0.9,,0.95\nwide,1,0.1,0.1,0.5,0.9,,0.5\n")
    other = extract.run(replace(config, roi=RoiConfig(boxes=str(csv))), dataset)
    assert other.store != first.store
    rows = open_persons(other.store, "roi")
    assert rows.ids.tolist() == ["wide_0000"]
    assert rows.scores.tolist() == [np.float32(0.95)]
    assert not rows.annotated.any()
    assert not rows.labels["action"].any()


def test_a_forecast_counts_persons(config, dataset):
    forecast = extract.forecast(config, dataset)
    rows = 3 + 2  # of wide, and of tall the one past the end too
    assert forecast.segments == 4
    assert forecast.bytes_to_write == rows * 4 * (1280 + 1280 * 49)
    assert forecast.frames == 4


@pytest.fixture
def manifest(videos, tmp_path):
    """The same people as a data set on disk."""
    (tmp_path / "map.pbtxt").write_text(
        'item {\n  name: "sit"\n  id: 1\n}\nitem {\n  name: "stand"\n  id: 2\n}\n'
    )
    lines = [
        ",".join([video, stamp, *map(str, corners), str(place + 1), "0"])
        for video, stamps in PEOPLE.items()
        for stamp, people in stamps.items()
        for place, corners in enumerate(people)
    ]
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
    path = tmp_path / "data_manifest.yaml"
    path.write_text(
        f"version: 1\ndatasets:\n  people:\n    format: ava\n    media: {videos}\n"
        "    annotations: {train: train.csv}\n    label_map: map.pbtxt\n"
    )
    return path


def test_maps_that_are_kept_give_what_the_network_gives(config, manifest):
    squashed = replace(config, manifest=manifest, transform="squash")
    direct = extract.run(squashed)
    maps = extract.run(replace(squashed, roi=None, taps=("map",)))
    assert open_store(maps.store).row_shape == (1, 1280, 2, 2)
    report = cut_from_maps(
        FromMapsConfig(store=Path(maps.store), taps=config.taps, manifest=manifest, device="cpu")
    )
    assert (report.key_frames, report.persons, report.without_maps) == (3, 4, 1)
    assert not verify(Path(report.store))
    for tap in config.taps:
        there, kept = open_store(direct.store, tap), open_store(report.store, tap)
        np.testing.assert_array_equal(there.boxes, kept.boxes)
        np.testing.assert_array_equal(there.times, kept.times)
        for id_ in there.ids:
            assert relative(kept[id_], there[id_]) < 1e-4
    again = cut_from_maps(
        FromMapsConfig(store=Path(maps.store), taps=config.taps, manifest=manifest, device="cpu")
    )
    assert (again.extracted, again.skipped) == (0, 3)


def test_maps_of_clips_may_be_averaged_over_time_first(config, manifest):
    clips = replace(
        config, manifest=manifest, transform="squash", backbone="r3d_18", clip_frames=8, size=32
    )
    direct = extract.run(clips)
    maps = extract.run(replace(clips, roi=None, taps=("map",), pool_time=True))
    assert open_store(maps.store).row_shape == (1, 512, 2, 2)
    report = cut_from_maps(FromMapsConfig(store=Path(maps.store), manifest=manifest, device="cpu"))
    there, kept = open_store(direct.store, "roi"), open_store(report.store, "roi")
    for id_ in there.ids:
        assert relative(kept[id_], there[id_]) < 1e-4


def test_maps_of_other_moments_are_not_taken(config, manifest):
    squashed = replace(config, manifest=manifest, transform="squash", roi=None, taps=("map",))
    maps = Path(extract.run(squashed).store)
    csv = manifest.with_name("train.csv")
    csv.write_text(csv.read_text().replace("wide,0001,", "wide,0001.5,"))
    report = cut_from_maps(FromMapsConfig(store=maps, manifest=manifest, device="cpu"))
    assert (report.key_frames, report.without_maps) == (2, 2)
    with pytest.raises(RequestError, match="no split 'vla'"):
        cut_from_maps(FromMapsConfig(store=maps, manifest=manifest, splits=("vla",)))


def test_a_corrected_beginning_needs_new_maps(config, manifest):
    squashed = replace(config, manifest=manifest, transform="squash", roi=None, taps=("map",))
    maps = Path(extract.run(squashed).store)
    csv = manifest.with_name("train.csv")
    csv.write_text("\n".join(line for line in csv.read_text().splitlines() if ",0000," not in line))
    manifest.write_text(manifest.read_text() + "    begin: 1\n")
    report = cut_from_maps(FromMapsConfig(store=maps, manifest=manifest, device="cpu"))
    assert (report.key_frames, report.persons) == (0, 0)  # wide_0001 was at 1 s, and is at 0 s now


def test_cropped_maps_are_refused(config, manifest):
    cropped = extract.run(
        replace(config, manifest=manifest, transform="weights", roi=None, taps=("map",))
    )
    with pytest.raises(RequestError, match=r"cropped or pooled.*`transform` squash"):
        cut_from_maps(FromMapsConfig(store=Path(cropped.store), manifest=manifest))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"frames": 4}, "`frames` does not suit features of persons"),
        ({"pool_grid": 2}, "`pool_grid` does not suit features of persons"),
        ({"crops": 3, "transform": "weights"}, "`crops` does not suit features of persons"),
        ({"taps": ("gap",)}, "persons have no tap 'gap': choose from roi, roi_map"),
        ({"roi": RoiConfig(maps=("gap",))}, "tap gap has no maps"),
        ({"transform": "weights"}, "no transform 'weights': choose whole or squash"),
        ({"backbone": "flow_grid", "motion": "farneback"}, "flow_grid has no maps"),
    ],
)
def test_what_cannot_be_is_refused(config, dataset, change, said):
    with pytest.raises(RequestError, match=said):
        extract.run(replace(config, **change), dataset)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"min_score": 80}, "`min_score` is 80: give 0 to 1"), ({"sampling": -1}, "`sampling` is -1")],
)
def test_boxes_that_cannot_be_are_refused(change, said):
    with pytest.raises(RequestError, match=said):
        RoiConfig(**change)


def test_a_data_set_of_segments_has_no_persons(config, dataset):
    with pytest.raises(RequestError, match="has segments and no key frames"):
        extract.run(config, replace(dataset, key_frames=False, boxes={}))


def test_absent_boxes_are_absent_whatever_the_data_set_has(config, dataset):
    asked = replace(config, roi=replace(config.roi, boxes="nowhere.csv"))
    for one in (dataset, replace(dataset, key_frames=False, boxes={})):
        with pytest.raises(RequestError, match=r"`boxes` nowhere\.csv is neither a file nor"):
            extract.run(asked, one)


def test_features_of_persons_in_memory_are_those_of_the_store(config, dataset, videos):
    report = extract.run(replace(config, batch_size=None), dataset)
    store = open_store(report.store, "roi")
    there = {0.0: dataset.boxes["wide_0000"], 0.5: Boxes.of([]), 1.0: dataset.boxes["wide_0001"]}
    there[9.0] = Boxes.of([[0, 0, 1, 1]])
    maker = PersonFeatures(Maker.of_store(store.recipe, "roi", None, "cpu"))
    made, unread = maker.at(Media(videos / "wide.mp4"), there)
    assert sorted(made) == [0.0, 1.0]
    assert "past the end at 2.000 s" in unread[9.0]
    np.testing.assert_array_equal(made[0.0], store["wide_0000"])
    np.testing.assert_array_equal(made[1.0], store["wide_0001"])


def test_the_digest_is_of_boxes_and_scores_alone():
    boxes = {"a_1": Boxes.of([[0, 0, 1, 1]], actions=[[3]])}
    assert boxes_digest(boxes) == boxes_digest({"a_1": Boxes.of([[0, 0, 1, 1]], actions=[[]])})
    assert boxes_digest(boxes) != boxes_digest({"a_1": Boxes.of([[0, 0, 1, 0.9]])})
    assert boxes_digest(boxes) != boxes_digest({"a_1": Boxes.of([[0, 0, 1, 1]], [0.5])})


def test_frames_of_many_sizes_give_what_each_gives_alone(config, dataset, monkeypatch):
    padded = []
    pad = torch.nn.functional.pad

    def counted(tensor, sides):
        padded.append(sides[-1])
        return pad(tensor, sides)

    monkeypatch.setattr(filling.F, "pad", counted)
    media, segments, boxes = {}, [], {}
    for number in range(12):
        folder = config.out.parent / f"film{number}"
        folder.mkdir()
        picture = np.full((64, 64 + 8 * number, 3), 20 * number, np.uint8)
        Image.fromarray(picture).save(folder / "frame_1.png")
        id_ = key_frame_id(f"film{number}", "0")
        media[f"film{number}"] = Media(folder, fps=1.0)
        segments.append(Segment(id_, f"film{number}", 0.0, 1.0))
        boxes[id_] = Boxes.of([[0.1, 0.1, 0.9, 0.9]], actions=[[0]])
    many = replace(dataset, media=media, segments=tuple(segments), boxes=boxes)
    alone = extract.run(replace(config, batch_size=1, out=config.out / "alone"), many)
    padded.clear()
    together = extract.run(replace(config, batch_size=3), many)
    assert together.extracted == 12
    assert padded == [2] * 12
    ours, theirs = open_store(together.store, "roi"), open_store(alone.store, "roi")
    for id_ in theirs.ids:
        assert relative(ours[id_], theirs[id_]) < 1e-4


def test_a_clip_across_a_change_of_size_fails_and_no_other(config, dataset):
    folder = config.out.parent / "images"
    folder.mkdir()
    for number in range(60):
        picture = np.full((64, 64 + 32 * (number > 29), 3), 4 * number, np.uint8)
        Image.fromarray(picture).save(folder / f"frame_{number:03d}.png")
    boxes = {
        key_frame_id("of_two", str(k)): Boxes.of([[0, 0, 1, 1]], actions=[[]]) for k in range(6)
    }
    segments = [Segment(id_, "of_two", k, k + 1.0) for k, id_ in enumerate(boxes)]
    media = dataset.media | {"of_two": Media(folder, fps=10.0)}
    both = replace(
        dataset,
        media=media,
        segments=(*dataset.segments, *segments),
        boxes=dataset.boxes | boxes,
    )
    report = extract.run(replace(config, backbone="slowfast_4x16_r50", taps=("roi",)), both)
    told = {one.id: one.reason for one in progress_of(Path(report.store)).failures}
    changing = [
        id_ for id_, reason in told.items() if "of_two changes its frame size between" in reason
    ]
    assert changing == [segments[k].id for k in (2, 3, 4)]


def test_a_frame_that_cannot_be_read_fails_all_who_want_it(config, dataset):
    folder = config.out.parent / "images"
    folder.mkdir()
    for number in (1, 2, 3):
        Image.fromarray(np.full((64, 80, 3), 60 * number, np.uint8)).save(
            folder / f"f_{number}.png"
        )
    (folder / "f_2.png").write_bytes(b"no picture")
    stamps = ("0", "1", "1.25", "2")
    segments = [Segment(key_frame_id("f", s), "f", float(s), float(s) + 1) for s in stamps]
    corners = [[0.1, 0.1, 0.5, 0.5], [0.5, 0.5, 0.9, 0.9]]
    broken = replace(
        dataset,
        media={"f": Media(folder, fps=1.0)},
        segments=tuple(segments),
        boxes={s.id: Boxes.of(corners, actions=[[], []]) for s in segments},
    )
    report = extract.run(config, broken)
    assert (report.extracted, report.failed) == (2, 2)
    assert open_store(report.store, "roi").ids.tolist() == ["f_0", "f_2"]
    Image.fromarray(np.full((64, 80, 3), 120, np.uint8)).save(folder / "f_2.png")
    mended = extract.run(replace(config, retry_failed=True), broken)
    assert (mended.extracted, mended.failed) == (2, 0)
    store = open_store(mended.store, "roi")
    np.testing.assert_array_equal(store["f_1"], store["f_1.25"])
    assert not verify(Path(mended.store))


def test_parts_make_together_what_one_makes(config, dataset, tmp_path):
    whole = extract.run(replace(config, out=tmp_path / "whole"), dataset)
    for number in (1, 2):
        extract.run(replace(config, part=(number, 2)), dataset)
    parts = open_store(config.out / "people", "roi")
    one = open_store(whole.store, "roi")
    assert sorted(parts.ids) == sorted(one.ids)
    for id_ in one.ids:
        np.testing.assert_array_equal(parts[id_], one[id_])


@pytest.mark.gpu
def test_a_gpu_gives_the_same_persons(config, dataset, tmp_path, gpu):
    here = extract.run(replace(config, out=tmp_path / "cpu"), dataset)
    there = extract.run(replace(config, device=str(gpu), batch_size=8), dataset)
    ours, theirs = open_store(there.store, "roi_map"), open_store(here.store, "roi_map")
    for id_ in theirs.ids:
        assert relative(ours[id_], theirs[id_]) < 1e-4


def test_the_points_of_boxes_are_those_of_the_weights(tmp_path):
    """By what was asked for, else by a training state's own settings, else by the record."""
    shapes = {"slow_map": (8, 2048, 16, 16), "fast_map": (32, 256, 16, 16)}
    backbone = load("slowfast_32x2_r50_ava", "random", ["slow_map", "fast_map"])
    own = tmp_path / "own.pyth"
    state = {"model_state": {"s1": torch.zeros(1)}, "cfg": "DETECTION:\n  ALIGNED: true\n"}
    torch.save(state, own)
    trained = grid_of(backbone, str(own), RoiConfig())
    assert choose_align(shapes, 256, RoiConfig(), trained).aligned
    asked = choose_align(shapes, 256, RoiConfig(aligned=False, sampling=2), trained)
    assert (asked.aligned, asked.sampling) == (False, 2)
    torch.save({"model_state": {"s1": torch.zeros(1)}}, own)
    assert grid_of(backbone, str(own), RoiConfig()) == {}
    record = replace(backbone.spec.weights[0], aligned=True, sampling=1)
    trained = grid_of(replace(backbone, published=record), "default", RoiConfig())
    assert choose_align(shapes, 256, RoiConfig(), trained) == RoiAlign(
        ("slow_map", "fast_map"), (16, 16), sampling=1, aligned=True
    )
