"""What is compared: a head with its options on some features, to be trained with each seed."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from egofeat.errors import RequestError
from egofeat.heads.config import TrainerConfig
from egofeat.heads.names import HEADS
from egofeat.options import declared
from egofeat.pipelines.sweeping.choices import known, multiply, read_values, told
from egofeat.pipelines.sweeping.features import Feature, Features
from egofeat.pipelines.sweeping.options import SweepConfig
from egofeat.pipelines.sweeping.study import Line, Places, Study
from egofeat.pipelines.training.options import FitConfig
from egofeat.words import nearest, quoted

_STUDY_SAYS = (
    "store",
    "tap",
    "out",
    "seed",
    "train_split",
    "val_split",
    "published_split",
    "seeds",
)
_OWN = ("head", "features", "tap", "join", "option", "baseline")
"""Keys of a line that are read here; the others are options of `egofeat fit-head`."""
_HEAD = known([one for one in declared(FitConfig) if one.name == "head"])
_OF_TRAINER = known(declared(TrainerConfig), but=("seed", "device"))
_ELSEWHERE = (*_STUDY_SAYS, "val_from_train", "head", "options", "device", "figures")
_OF_FIT = {**_OF_TRAINER, **known(declared(FitConfig), but=_ELSEWHERE)}


@dataclass(frozen=True)
class Candidate:
    """A head on some features, and what is tried to find its best."""

    where: str
    """In the study, for sentences."""
    features: tuple[Feature, ...]
    given: Mapping[str, Any]
    """Options of `egofeat fit-head`, by the name of their field."""
    stated: Mapping[str, str]
    """What the study's line says of it, for people."""
    grid: tuple[Mapping[str, Any], ...]
    """Options to choose from on the validation split; one of none where nothing is searched."""
    baseline: bool

    @property
    def label(self) -> str:
        """For people."""
        features = "+".join(one.label for one in self.features)
        more = ", ".join(f"{name} {value}" for name, value in self.stated.items())
        return " ".join(filter(None, (self.given["head"], features))) + (f", {more}" * bool(more))

    def config(self, study: Study, seed: int, tried: Mapping[str, Any]) -> FitConfig:
        """What is trained with one seed, of one choice of the grid.

        Raises:
            RequestError: a value that its option cannot have.
        """
        splits = study.split
        with told(self.where):
            return FitConfig.of(
                {
                    **self.given,
                    **tried,
                    "seed": seed,
                    "store": tuple(one.store for one in self.features),
                    "tap": ",".join(one.source.tap for one in self.features),
                    "train_split": splits.train,
                    "val_split": splits.validation,
                    "published_split": splits.published,
                    "val_from_train": splits.validation_from_train,
                }
            )


def candidates(
    study: Study, places: Places, features: Features, asked: SweepConfig
) -> list[Candidate]:
    """What the lines of `heads` ask for, whether it fits or not.

    Raises:
        RequestError: a line that cannot be; the sentence tells which.
    """
    settings = _by_field(asked.settings)
    _check_shared(places.of("common"), study.common)
    _check_shared("`settings`", asked.settings)
    _refuse_baselines(study, places)
    found: list[Candidate] = []
    for number, line in enumerate(study.heads):
        where = places.of("heads", number)
        own = _without(_by_field(line), ("baseline", *settings))
        search = _without(_by_field(study.search), (*own, *settings))
        common = _without({**_by_field(study.common), **settings}, (*own, *search))
        grid = _grid(places.of("search"), search)
        with told(where):
            combinations = list(product(multiply(_of_one_join(own)), multiply(common)))
        for said, shared in combinations:
            given = _given(where, said, shared) | {"device": asked.device}
            words = _words({n: v for n, v in common.items() if isinstance(v, list)}, shared)
            words |= _words(said, said) | _words(given["options"], given["options"])
            with told(where):
                of_each = list(_sources(said, features))
            baseline = line.get("baseline", False)
            found += (Candidate(where, of, given, words, grid, baseline) for of in of_each)
    for one in found:
        for tried in one.grid:
            one.config(study, study.seed_list[0], tried)
    return found


def _check_shared(where: str, line: Mapping[str, Any]) -> None:
    """Refuse where it stands what not all heads can have: a tap, an option of one head."""
    with told(where):
        combinations = multiply(line)
    for one in combinations:
        read_values(where, one, _OF_FIT)


def _refuse_baselines(study: Study, places: Places) -> None:
    """Refuse several, and what is neither true nor false."""
    lines = [n for n, line in enumerate(study.heads) if line.get("baseline", False) is not False]
    for number in lines:
        where = places.of("heads", number)
        if study.heads[number]["baseline"] is not True:
            raise RequestError(f"{where}: `baseline` is true or false, and nothing else")
        if number != lines[0]:
            first = places.of("heads", lines[0])
            raise RequestError(f"{where}: {first} is the baseline already: name one line")


def _by_field(line: Mapping[str, Any]) -> Line:
    """Options by the name of their field, however they were typed: one wins over another by it."""
    fields = ((name, _OF_FIT.get(str(name).replace("-", "_"))) for name in line)
    return {one.name if one else name: line[name] for name, one in fields}


def _without(line: Mapping[str, Any], names: Collection[str]) -> Line:
    return {name: value for name, value in line.items() if name not in names}


def _of_one_join(line: Line) -> Line:
    """The names of a join are no choice, but a list of such lists is."""
    join = line.get("join")
    if isinstance(join, list) and not any(isinstance(one, list) for one in join):
        return line | {"join": [join]}
    return line


def _grid(where: str, search: Mapping[str, list[Any]]) -> tuple[Mapping[str, Any], ...]:
    """Every combination of what is searched, read as options of the trainer."""
    with told(where):
        combinations = multiply(search)
    read = [read_values(where, one, _OF_TRAINER) for one in combinations]
    return tuple(one for place, one in enumerate(read) if one not in read[:place])


def _given(where: str, said: Line, shared: Line) -> dict[str, Any]:
    """Options of `egofeat fit-head` that a combination gives, but for its features."""
    name = said.get("head")
    if not isinstance(name, str):
        raise RequestError(f"{where}: it names no head: add `head:`")
    given = read_values(where, {"head": name}, _HEAD)
    if given["head"] not in HEADS:
        raise RequestError(
            f"{where}: there is no head {quoted(name)}: {nearest(name, list(HEADS))}"
        )
    options = said.get("option") or {}
    if not isinstance(options, dict):
        raise RequestError(f"{where}: `option` is no mapping: write option: {{hidden: 50}}")
    values = {key: of for key, of in (shared | said).items() if key not in _OWN}
    return {**read_values(where, values, _OF_FIT, also=_OWN), **given, "options": options}


def _words(named: Line, values: Line) -> dict[str, str]:
    words = ((name, values[name]) for name in named if name not in _OWN)
    return {name: str(value) for name, value in words if value is not None}


def _sources(said: Line, features: Features) -> Iterator[tuple[Feature, ...]]:
    """The features that a head is trained on: each alone, or several joined."""
    if join := said.get("join"):
        if not isinstance(join, list) or "features" in said or "tap" in said:
            raise RequestError(
                "`join` is a list of features, such as [i3d/gap, mobilenetv2/gap], and goes with "
                "neither `features` nor `tap`"
            )
        yield from product(*(features.called(str(name)) for name in join))
        return
    found = features.called(str(said["features"])) if said.get("features") else features.all
    taps = {one.source.tap for one in found}
    if (tap := said.get("tap")) is not None:
        if tap not in taps:
            raise RequestError(f"no features have tap {quoted(tap)}: {nearest(tap, sorted(taps))}")
        found = [one for one in found if one.source.tap == tap]
    yield from ((one,) for one in found)
