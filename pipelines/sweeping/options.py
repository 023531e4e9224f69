"""What a person can choose about a sweep, beside what the study file says."""

from collections.abc import Mapping
from pathlib import Path

from egofeat.errors import RequestError
from egofeat.options import Device, inherited, option
from egofeat.pipelines.options import ChosenOut, Crew, Figures, Tap


def _read_setting(text: str) -> tuple[str, str]:
    """`epochs=20` to its two halves."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise RequestError(f"`settings` {text} has no value: write {name}=VALUE, such as epochs=20")
    return name, value


class SweepConfig(Tap, ChosenOut, Figures, Device, Crew, panel="Study"):
    """Which study, or which heads on which stores; and how it is done."""

    study: Path | None = option(
        "Study file: which heads are trained on which features, with which seeds.",
        argument=True,
        default=None,
        metavar="STUDY",
    )
    store: tuple[Path, ...] = option(
        "Without a study file: train on this feature store; can be repeated.",
        default=(),
        repeated=True,
    )
    head: tuple[str, ...] = option(
        "Without a study file: train these heads, separated by commas.", default=(), imports=True
    )
    tap: str | None = inherited(
        "Without a study file: read these taps of the stores, separated by commas; each is used "
        "alone.",
        default_is="all",
    )
    seeds: int | None = option(
        "Train each head with this many seeds.",
        default=None,
        default_is="the study's, else 1",
        least=1,
    )
    settings: Mapping[str, str] = option(
        "Set an option of every training, such as epochs=20 or published_split=2, over the "
        "study's; can be repeated.",
        default={},
        flag="--set",
        repeated=True,
        read=_read_setting,
    )
    features: Path = option("Keep feature stores in this folder.", default=Path("features"))
    jobs: int = option("Train this many heads at a time, each in a process.", default=1, least=1)
    out: Path | None = inherited(
        "Write runs and tables to this folder.", default_is="sweeps/NAME of the study"
    )
    device: str = inherited("Extract and train on this device: auto, cpu, cuda or cuda:1.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.study is not None and (self.store or self.head or self.tap):
            raise RequestError(
                "a study file says which heads and features: leave out `store`, `head` and `tap`, "
                "or the file"
            )
        if self.study is None and not (self.store and self.head):
            raise RequestError(
                "give a study file, or a feature store with `store` and heads with `head`"
            )
        if self.jobs > 1 and self.has_crew:
            raise RequestError(
                "`jobs` are processes of this machine: leave it out where others train; "
                "`devices` may name a device several times"
            )
