"""The study file: a strict mapping; what is wrong in it is one sentence with its line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from egofeat.adapters.entry import Strict, describe, folder_name, takes
from egofeat.adapters.files import read_text
from egofeat.errors import RequestError
from egofeat.manifest import read_yaml
from egofeat.pipelines.options import DEFAULT_MANIFEST
from egofeat.words import nearest, quoted, shortened

Line = dict[str, Any]
"""Options by name as they are typed; a list is a choice, and each of its values is tried."""
_Seed = Annotated[int, Field(ge=0, lt=2**63)]
_MOST_SEEDS = 1000
_MOST_SPLITS = 100
_PUBLISHED = ("published_split", "published-split")
"""What options call the one of `splits` that differs between sweeps of a study."""


class StudySplits(Strict):
    """Which splits train, choose and judge."""

    train: str = "train"
    validation: str = "val"
    """Chooses the epoch, and what `search` looks for."""
    test: str | None = None
    """The table is of it; None: of the validation split."""
    published: str | None = None
    validation_from_train: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _apart(self) -> "StudySplits":
        if self.test in (self.train, self.validation):
            raise ValueError(f"`test` is '{self.test}', which trains or chooses: name another")
        if self.validation_from_train and self.test is None:
            raise ValueError("`validation_from_train` differs by seed: name a `test` split too")
        return self


class Study(Strict):
    """What is to be compared."""

    version: Literal[1] = Field(description="the version of the study's format, 1")
    name: Annotated[str, AfterValidator(folder_name)] = Field(description="a name of its own")
    dataset: str | None = None
    """Entry of the manifest, for features that are extracted."""
    manifest: str = str(DEFAULT_MANIFEST)
    features: list[Line] = Field(
        description="a list such as [{backbone: mobilenetv2}]", min_length=1, max_length=1000
    )
    heads: list[Line] = Field(
        description="a list such as [{head: linear}]", min_length=1, max_length=1000
    )
    common: Line = Field(default_factory=dict)
    """What all heads have, unless their line says otherwise."""
    seeds: Annotated[
        Annotated[int, Field(ge=1, le=_MOST_SEEDS)]
        | Annotated[list[_Seed], Field(min_length=1, max_length=_MOST_SEEDS)],
        takes("how many, or a list of seeds"),
    ] = 1
    splits: Annotated[list[StudySplits], Field(min_length=1, max_length=_MOST_SPLITS)] = Field(
        default_factory=lambda: [StudySplits()]
    )
    """Each is a block of the table; of several, the last block is their mean."""
    search: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    figure: str | None = None
    """Metric of the table."""

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds, each once."""
        return tuple(
            range(self.seeds) if isinstance(self.seeds, int) else dict.fromkeys(self.seeds)
        )

    @property
    def split(self) -> StudySplits:
        """Of a study on one of them alone."""
        (only,) = self.splits
        return only

    @property
    def parts(self) -> "dict[str, Study]":
        """Name of each of the splits to the study on it alone; of one split, it has none.

        They are called as they were published, or else by their place, from 1.
        """
        if len(self.splits) == 1:
            return {"": self}
        names = [one.published or "" for one in self.splits]
        if len(set(names)) < len(names) or not all(name.isalnum() for name in names):
            names = [str(place) for place in range(1, len(names) + 1)]
        studies = [self.model_copy(update={"splits": [one]}) for one in self.splits]
        return dict(zip(names, studies, strict=True))

    @model_validator(mode="after")
    def _each_once(self) -> "Study":
        told = [one.model_dump() for one in self.splits]
        for place, (one, of) in enumerate(zip(self.splits, told, strict=True)):
            if of in told[:place]:
                said = ", ".join(f"{key}: {of[key]}" for key in sorted(one.model_fields_set))
                raise ValueError(f"`splits` has {{{said}}} twice: leave one of them out")
        return self


@dataclass(frozen=True)
class Places:
    """Where in which file the parts of a study stand, for sentences."""

    path: Path | None
    """None of a study that was given by options."""
    text: str = ""

    def of(self, *loc: str | int) -> str:
        """`study.yaml, line 7`, of the deepest part of `loc` that there is."""
        if self.path is None:
            return "the sweep"
        node: Any = yaml.compose(self.text, yaml.SafeLoader)
        for key in loc:
            below = _below(node, key)
            if below is None:
                break
            node = below
        return f"{self.path}, line {node.start_mark.line + 1}"


def _below(node: Any, key: str | int) -> Any:
    if isinstance(node, yaml.MappingNode):
        return next((value for name, value in node.value if name.value == str(key)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key]
    return None


def read_study(path: Path) -> tuple[Study, Places]:
    """Read and validate a study file; its lines are read when they are multiplied.

    Raises:
        RequestError: it is absent, no YAML, or not what a study must be.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise RequestError(
            f"{path} is no study: begin it with `version: 1`, `name:`, `features:` and `heads:`"
        )
    places = Places(path, read_text(path))
    return _validated(raw, places), places


def set_split(study: Study, settings: Mapping[str, str]) -> tuple[Study, Mapping[str, str]]:
    """The study on the published split that settings ask for, and the settings of trainings.

    Raises:
        RequestError: the study has several splits, and none of them is that.
    """
    said = [settings[name] for name in _PUBLISHED if name in settings]
    others = {name: of for name, of in settings.items() if name not in _PUBLISHED}
    if not said:
        return study, others
    splits = [one for one in study.splits if one.published == said[-1]]
    if len(study.splits) == 1:
        splits = [study.split.model_copy(update={"published": said[-1]})]
    if not splits:
        names = [one.published for one in study.splits if one.published]
        raise RequestError(
            f"study '{study.name}' has no published split {quoted(said[-1])} among its `splits`: "
            + (nearest(said[-1], names) if names else "leave `published_split` out")
        )
    return study.model_copy(update={"splits": splits}), others


def study_of(heads: Sequence[str], stores: Sequence[Path], tap: str | None) -> tuple[Study, Places]:
    """The study that options ask for: each of some heads on each of some stores.

    Raises:
        RequestError: a store has a name that no folder can have.
    """
    taps = {} if tap is None else {"tap": [one.strip() for one in tap.split(",")]}
    raw: Mapping[str, Any] = {
        "version": 1,
        "name": "-".join(dict.fromkeys(heads)).replace(":", ".")[:100],
        "features": [{"store": str(store), **taps} for store in stores],
        "heads": [{"head": list(heads)}],
    }
    places = Places(None)
    return _validated(raw, places), places


def _validated(raw: Mapping[str, Any], places: Places) -> Study:
    alone = isinstance(raw.get("splits"), dict)
    try:
        return Study.model_validate({**raw, "splits": [raw["splits"]]} if alone else raw)
    except ValidationError as error:
        loc, said = error.errors(include_url=False)[0]["loc"], describe(error)
        if alone and loc[:2] == ("splits", 0):
            loc, said = (loc[0], *loc[2:]), said.replace("splits.0", "splits", 1)
        raise RequestError(f"{places.of(*loc)}: {shortened(said)}") from None
