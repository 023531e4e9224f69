"""How fast networks went on this disk's films: measured by each run, for the next forecast.

`<out>/.rates.jsonl` has a line a run and store. It is next to the stores and not in them:
two runs of the same recipe leave the same store, and never take the same time.
"""

import contextlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

NAME = ".rates.jsonl"


class Rate(BaseModel):
    """What one run measured for one store."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    store: str
    """Its name, of backbone and recipe."""
    backbone: str
    device: str
    company: list[str]
    """Backbones that shared the decode, itself among them, sorted."""
    views: int = Field(gt=0)
    """Frames or clips run through the network, each crop counted."""
    seconds: float = Field(gt=0, allow_inf_nan=False)


def keep_rate(out: Path, rate: Rate) -> None:
    """Add what was measured. It is a help for forecasts: a disk that refuses it is no failure."""
    with contextlib.suppress(OSError), (out / NAME).open("a", encoding="utf-8") as file:
        file.write(rate.model_dump_json() + "\n")


def find_rate(out: Path, store: str, backbone: str, device: str, company: list[str]) -> Rate | None:
    """The longest measurement that says most: of the store itself, else of its backbone."""
    rates = [
        rate
        for rate in _rates(out / NAME)
        if (rate.backbone, rate.device, rate.company) == (backbone, device, company)
    ]
    own = [rate for rate in rates if rate.store == store]
    return max(own or rates, key=lambda rate: rate.views, default=None)


def _rates(path: Path) -> list[Rate]:
    rates = []
    with contextlib.suppress(OSError):
        if path.is_file():
            for line in path.read_bytes().splitlines():
                with contextlib.suppress(ValidationError):  # half written, or not ours
                    rates.append(Rate.model_validate_json(line))
    return rates
