"""The split lists that UCF-101 and HMDB-51 publish beside their class folders."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from egofeat.adapters.files import read_lines, whole_number
from egofeat.errors import ManifestError
from egofeat.words import nearest, quoted


@dataclass(frozen=True, slots=True)
class Listed:
    """One clip that a list names."""

    clip: str
    """`<class>/<file>`, relative to `media`, as written."""
    split: str
    class_name: str
    place: str
    """File and line."""


def list_numbers(folder: Path) -> list[int]:
    """Numbers of the published splits whose lists stand in a folder."""
    names = [path.name for path in folder.iterdir()]
    found = (re.fullmatch(r"trainlist(\d{2})\.txt|.+_test_split(\d)\.txt", name) for name in names)
    return sorted({int(match[1] or match[2]) for match in found if match})


def read_lists(folder: Path, number: int) -> tuple[list[Listed], list[str]]:
    """Clips of the published split `number`, and the class names in the order of their labels.

    UCF-101: `classInd.txt`, `trainlist<nn>.txt`, `testlist<nn>.txt`.
    HMDB-51: one `<class>_test_split<n>.txt` a class.

    Raises:
        ManifestError: no such lists, a line that is not as published, or an unknown class.

    """
    if (folder / "classInd.txt").exists():
        return _read_ucf(folder, number)
    hmdb = sorted(folder.glob(f"*_test_split{number}.txt"))
    if not hmdb:
        raise ManifestError(
            f"'annotations' {folder} holds neither classInd.txt (as UCF-101) nor "
            f"<class>_test_split{number}.txt (as HMDB-51): put the published lists there, "
            "or correct 'lists'"
        )
    return _read_hmdb(hmdb)


def _read_ucf(folder: Path, number: int) -> tuple[list[Listed], list[str]]:
    classes = []
    for expected, (place, line) in enumerate(read_lines(folder / "classInd.txt"), start=1):
        index, _, class_name = line.partition(" ")
        if index != str(expected) or not class_name.strip():
            raise ManifestError(f"{place} is {quoted(line)}: expected '{expected} <class>'")
        classes.append(class_name.strip())
    label_of = {class_name: str(index) for index, class_name in enumerate(classes, start=1)}
    listed = []
    for split in ("train", "test"):
        for place, line in read_lines(folder / f"{split}list{number:02d}.txt"):
            clip, _, label = line.rpartition(" ") if split == "train" else (line, "", "")
            listed.append(_ucf_clip(clip.strip(), label, split, place, label_of))
    return listed, classes


def _ucf_clip(clip: str, label: str, split: str, place: str, label_of: Mapping[str, str]) -> Listed:
    class_name = clip.partition("/")[0]
    if class_name not in label_of:
        raise ManifestError(
            f"{place}: the class {quoted(class_name)} is not in classInd.txt: "
            f"{nearest(class_name, list(label_of))}"
        )
    if label and label != label_of[class_name]:
        raise ManifestError(
            f"{place}: the label {quoted(label)} is not that of {quoted(class_name)}: "
            f"write {label_of[class_name]} as classInd.txt does"
        )
    return Listed(clip, split, class_name, place)


def _read_hmdb(files: list[Path]) -> tuple[list[Listed], list[str]]:
    """Read lists whose marks are 1 train, 2 test, 0 in neither."""
    names = {path: path.stem.rpartition("_test_split")[0] for path in files}
    listed = []
    for path, class_name in names.items():
        for place, line in read_lines(path):
            clip, _, mark = line.rpartition(" ")
            if whole_number(mark, "the mark", place) > 2:
                raise ManifestError(f"{place}: the mark is {mark}: write 1 train, 2 test, 0 unused")
            if mark != "0":
                split = "train" if mark == "1" else "test"
                listed.append(Listed(f"{class_name}/{clip.strip()}", split, class_name, place))
    return listed, sorted(names.values())
