"""What was asked for before, and which store it came to: so that it need not be found out again.

A recipe says what a network gives, and loading the network takes seconds and most of the memory of
a command that finds everything done. `<out>/.asked.jsonl` has a line for each question that was
answered: a digest of the options and of all that an answer depends on but the data set and the
weights, the files that these were looked for in, as they were, and the store. It can be thrown away
at any time.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from egofeat.errors import StoreError
from egofeat.extract.video.files import stamp_of
from egofeat.extract.video.opening import AUTO
from egofeat.pipelines.extraction.options import ExtractConfig, Storage
from egofeat.pipelines.extraction.wanted import Wanted
from egofeat.pipelines.options import Compute
from egofeat.recipe import Recipe
from egofeat.recipe.motion import Raft
from egofeat.segments import Dataset
from egofeat.store import versions
from egofeat.store.description import Description

_NAME = ".asked.jsonl"
_NOT_ASKED = {one.name for kind in (Compute, Storage) for one in fields(kind)}
"""Options on which no recipe depends."""
_PLACES = ("EGOFEAT_WEIGHTS", "TORCH_HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HOME")
"""Variables that say where weights are looked for."""
_OWN = re.compile(r"(tv:)?\w+")
"""Names of backbones that depend on no file but that of their weights."""


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    asked: str
    key_frames: bool
    """Whether the data set's segments are key frames."""
    files: dict[str, tuple[int, int]]
    """Where weights may be, to their size and time; -1 where there was none."""
    store: str
    """Name of the folder."""

    def holds(self, asked: str) -> bool:
        """Whether it answers a question, and the files are as they were."""
        return self.asked == asked and all(
            stamp_of(Path(path)) == then for path, then in self.files.items()
        )


def remember(config: ExtractConfig, found: Wanted, files: Iterable[Path] | None) -> None:
    """Keep which store options came to; a disk that refuses it is no failure.

    Args:
        config: the options.
        found: what they came to.
        files: where the weights may be, the first that is there counts; None where more than they
            decides what the network is.
    """
    if files is None or not _is_simple(config) or _has_more_weights(found.recipe):
        return
    answer = _Answer(
        asked=_digest(config),
        key_frames=found.dataset.key_frames,
        files={str(path.absolute()): stamp_of(path) for path in files},
        store=found.recipe.store_name,
    )
    path = config.out / _NAME
    with contextlib.suppress(OSError):
        if answer not in _answers(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:  # after what may be half a line
                file.write(f"\n{answer.model_dump_json()}\n")


@dataclass(frozen=True)
class Recalled:
    """The stores that options may come to."""

    config: ExtractConfig
    answers: Sequence[_Answer]

    @classmethod
    def of(cls, config: ExtractConfig) -> Self:
        """What is known of options."""
        answers: list[_Answer] = []
        path = config.out / _NAME
        with contextlib.suppress(OSError):
            if _is_simple(config) and path.is_file():
                asked = _digest(config)
                answers = [answer for answer in _answers(path) if answer.holds(asked)]
        return cls(config, answers)

    def __bool__(self) -> bool:
        return bool(self.answers)

    def recipe(self, dataset: Dataset) -> Recipe | None:
        """The recipe that the options come to with a data set; None where that must be found out.

        A store that is damaged is looked at as if it were not known.
        """
        for answer in reversed(self.answers):
            if answer.key_frames == dataset.key_frames:
                with contextlib.suppress(StoreError):
                    store = self.config.out / dataset.name / answer.store
                    return Description.read(store).recipe
        return None


def _is_simple(config: ExtractConfig) -> bool:
    """Whether nothing but options, code and the files of weights decides the recipe."""
    free = config.roi or config.decoder == AUTO
    return not free and _OWN.fullmatch(config.backbone) is not None


def _has_more_weights(recipe: Recipe) -> bool:
    motion = recipe.transform.motion
    return motion is not None and isinstance(motion.method, Raft)


def _answers(path: Path) -> list[_Answer]:
    answers = []
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        with contextlib.suppress(ValidationError):  # half written, or not ours
            answers.append(_Answer.model_validate_json(line))
    return answers


def _digest(config: ExtractConfig) -> str:
    options = {name: of for name, of in vars(config).items() if name not in _NOT_ASKED}
    places = {name: os.environ.get(name) for name in _PLACES}
    asked = {"options": options, "versions": versions(), "code": _code(), "places": places}
    asked["from"] = str(Path.cwd())  # where a relative name of a file begins
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()


def _code() -> tuple[int, int]:
    """How many files the program has, and when the last was changed: some change it themselves."""
    root = str(resources.files("egofeat"))
    times = [
        os.stat(os.path.join(folder, name)).st_mtime_ns  # noqa: PTH116, PTH118
        for folder, _, names in os.walk(root, followlinks=True)
        for name in names
        if name.endswith(".py")
    ]
    return len(times), max(times)
