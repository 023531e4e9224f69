"""Small media and annotations in the places that the documentation names.

Everything stands in one folder: `data_manifest.yaml` as it ships, its comment signs taken away,
and `home/`, which is `~`.
"""

import io
import re
import shutil
import tarfile
from pathlib import Path

import av
import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]

VERBS = ("take", "put", *(f"verb {number}" for number in range(2, 97)))
NOUNS = ("tap", "cup", *(f"noun {number}" for number in range(2, 300)))
_EPIC_COLUMNS = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,"
    "start_frame,stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)
_CLIPS = {
    "train": tuple(f"OP0{k}-R01-Pizza-1000-2000-F000022-F000051" for k in range(1, 5)),
    "test": ("P01-R01-Pizza-1000-2000-F000022-F000051", "P02-R01-Pizza-0-900-F000000-F000023"),
}


def film(path: Path, seconds: float, brightness: int = 128, rate: int = 30) -> None:
    """A film of 96 × 64 in which a bright square walks over a ground of some brightness."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="avi" if path.suffix == ".avi" else "mp4") as output:
        stream = output.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(round(seconds * rate)):
            picture = np.full((64, 96, 3), brightness, np.uint8)
            left = number % 70
            picture[20:40, left : left + 20] = (250, 200, 30)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))


def tar_of_frames(path: Path, folders: list[str], count: int) -> None:
    """Grey frames in each folder of a tar, named as EPIC-KITCHENS names them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = io.BytesIO()
    Image.new("RGB", (64, 48), (128, 128, 128)).save(encoded, "JPEG")
    with tarfile.open(path, "w") as archive:
        for folder in folders:
            for number in range(1, count + 1):
                member = tarfile.TarInfo(f"{folder}frame_{number:010d}.jpg")
                member.size = len(encoded.getvalue())
                archive.addfile(member, io.BytesIO(encoded.getvalue()))


def write(path: Path, *lines: str) -> None:
    """Write lines of text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def make_world(folder: Path) -> None:
    """Everything that the documentation's commands and manifests read."""
    write(folder / "data_manifest.yaml", uncommented((ROOT / "data_manifest.yaml").read_text()))
    home = folder / "home"
    make_demo(folder / "demo/data")
    shutil.copytree(ROOT / "studies", folder / "studies")
    shutil.copytree(ROOT / "docs/variants", folder / "docs/variants")
    make_epic(home)
    make_ava(home / "AVA")
    make_egtea(home / "EGTEA")
    for place in (home / "handwash", folder / "handwash12"):
        make_classes(place)
    make_ucf(home)
    for name in ("kitchen.mp4", "party.mp4", "clip.mp4"):
        film(folder / name, 4)
    write(folder / "boxes.csv", *(f"party,000{k},0.1,0.1,0.5,0.9,,0.9" for k in range(4)))
    make_own(folder / "data")


def make_own(folder: Path) -> None:
    """Class folders, and videos with a table, as docs/manifest.md describes them."""
    make_classes(folder / "clips")
    film(folder / "videos/P01.mp4", 3)
    rows = [f"P01.mp4,{k},{k + 1},train,P01,a{k},{VERBS[k % 2]},cup" for k in range(3)]
    write(folder.parent / "segments.csv", "file,t0,t1,part,person,uid,verb,object", *rows)
    write(folder.parent / "verbs.txt", *VERBS[:2])
    entry = "mine: {format: folder, media: data/clips}"
    write(folder.parent / "mine.yaml", "version: 1", "datasets:", f"  {entry}")


def uncommented(manifest: str) -> str:
    """The shipped manifest with the comment signs of its entries removed."""
    return re.sub(r"^  # ((?:  )*[a-z][\w-]*:(?: |$).*)$", r"  \1", manifest, flags=re.MULTILINE)


def make_demo(folder: Path) -> None:
    """What `egofeat demo` draws, in little."""
    rows = ["video,start,stop,split,verb,noun,participant"]
    for number, split in enumerate(("train", "val")):
        name = f"P0{number}_01.mp4"
        film(folder / "videos" / name, 3)
        rows += [f"{name},{k},{k + 1},{split},{VERBS[k % 2]},cup,P0{number}" for k in range(3)]
    write(folder / "segments.csv", *rows)


def make_epic(home: Path) -> None:
    """Two films of EPIC-KITCHENS-100 and one of its test part."""
    notes = home / "epic-kitchens-100-annotations"
    files = {"train": "P01_01", "validation": "P18_01", "test_timestamps": "P02_01"}
    for number, (part, video) in enumerate(files.items()):
        media = home / "EPIC-KITCHENS" / video[:3]
        film(media / "videos" / f"{video}.MP4", 4, 60 + 60 * number)
        tar_of_frames(media / "rgb_frames" / f"{video}.tar", [""], 4)
        tar_of_frames(media / "flow_frames" / f"{video}.tar", ["u/", "v/"], 4 * 30)
        rows = [_EPIC_COLUMNS]
        for k in range(3):
            span = f"00:00:0{k}.00,00:00:0{k + 1}.00,{60 * k + 1},{60 * k + 60}"
            rows.append(
                f"{video}_{k},{video[:3]},{video},00:00:00,{span},say,"
                f"v,{k % 2},n,{k % 2},['n'],[{k % 2}]"
            )
        if part == "test_timestamps":
            rows = [",".join(row.split(",")[:8]) for row in rows]
        write(notes / f"EPIC_100_{part}.csv", *rows)
    for kind, names in (("verb", VERBS), ("noun", NOUNS)):
        rows = [f"{number},{name},[],{name}s" for number, name in enumerate(names)]
        write(notes / f"EPIC_100_{kind}_classes.csv", "id,key,instances,category", *rows)
        write(notes / f"EPIC_100_tail_{kind}s.csv", kind, "1")
    published = home.parent / "epic_slowfast"
    published.mkdir(parents=True)
    for video in files.values():
        feats = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
        np.savez(published / f"{video}.npz", feats=feats)
    unseen = notes / "EPIC_100_unseen_participant_ids_validation.csv"
    write(unseen, "participant_id", "P18")


def make_ava(folder: Path) -> None:
    """Two films of AVA, cut to begin at its minute 15, with a person or two a second."""
    for part, video in (("train", "-5KQ66BBWC4"), ("val", "1j20qq1JyX4")):
        film(folder / "videos" / f"{video}.mp4", 6)
        boxes = ("0.077,0.151,0.283,0.811", "0.3,0.1,0.8,0.9")
        rows = [f"{video},0{902 + k},{boxes[k % 2]},{1 + k % 2},{k}" for k in range(3)]
        write(folder / f"ava_{part}_v2.2.csv", *rows)
        write(folder / f"kinetics_{part}_v1.0.csv", *rows[:1])
        write(folder / f"ava_{part}_excluded_timestamps_v2.2.csv", f"{video},0904")
    items = [f'item {{ name: "{name}" id: {k} }}' for k, name in enumerate(("sit", "stand"), 1)]
    write(folder / "ava_action_list_v2.2.pbtxt", *items)


def make_egtea(folder: Path) -> None:
    """A few clips of EGTEA Gaze+ with their gaze."""
    notes = folder / "action_annotation"
    for part, clips in _CLIPS.items():
        rows = [f"{clip} {1 + k % 2} {1 + k % 2} {1 + k % 2}" for k, clip in enumerate(clips)]
        for split in (1, 2, 3):
            write(notes / f"{part}_split{split}.txt", *rows)
        for clip in clips:
            session = "-".join(clip.split("-")[:3])
            film(folder / "cropped_clips" / session / f"{clip}.mp4", 1.25, rate=24)
            make_gaze(folder / "gaze_data" / f"{session}.txt")


def make_gaze(path: Path) -> None:
    """Three seconds of BeGaze's text in its short layout: the gaze rests near the middle."""
    head = ["## [BeGaze]", *(f"## line {number}" for number in range(33))]
    rows = [f"{k}\tSMP\t1\t640.0\t480.0\t{k}\t\tFixation" for k in range(72)]
    write(path, *head, *rows)


def make_classes(folder: Path) -> None:
    """Class folders whose names have a session in them."""
    for split, session in (("train", "002"), ("train", "006"), ("val", "007"), ("val", "010")):
        for number, name in enumerate(("Step_1", "Step_2")):
            clip = f"HandWash_{session}_A_0{number + 1}_G01.mp4"
            film(folder / split / name / clip, 1, 60 + 120 * number)


def make_ucf(home: Path) -> None:
    """Two classes of UCF-101 with their published lists."""
    lists = home / "ucfTrainTestlist"
    write(lists / "classInd.txt", "1 Archery", "2 Biking")
    parts: dict[str, list[str]] = {"train": [], "test": []}
    for number, name in enumerate(("Archery", "Biking"), 1):
        for group, part in ((1, "test"), (2, "train")):
            clip = f"{name}/v_{name}_g0{group}_c01.avi"
            film(home / "UCF-101" / clip, 1)
            parts[part].append(clip if part == "test" else f"{clip} {number}")
    for split in (1, 2, 3):
        for part, rows in parts.items():
            write(lists / f"{part}list0{split}.txt", *rows)
