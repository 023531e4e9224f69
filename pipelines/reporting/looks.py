"""Where heads look in the clips that the page shows: their frames, lit by the head's attention."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from egofeat.errors import EgofeatError
from egofeat.heads.gaze import Attentive
from egofeat.pipelines.comparing.configurations import Configuration
from egofeat.pipelines.comparing.finished import Finished
from egofeat.pipelines.reporting.stills import EACH, encoded
from egofeat.pipelines.runs.rows import open_run_store
from egofeat.pipelines.runs.run import load_run
from egofeat.pipelines.visualize.attention import Looked, frames_of, lit, looks_at
from egofeat.pipelines.visualize.pictures import middles
from egofeat.segments import Media

_SIDE = 112
"""Pixels of a picture."""
_MOST = 800_000
"""Bytes of all pictures as text."""


def add_looks(
    lines: Sequence[dict[str, Any]], ranked: Sequence[Configuration], media: Mapping[str, Media]
) -> list[str]:
    """Add to clips what the first seed of a head looks at, as `looks`; say why where it cannot be.

    Args:
        lines: configurations with their `targets`, as the page has them.
        ranked: the same configurations.
        media: video to where it lies.
    """
    room, notes = _MOST, []
    for line, of in zip(lines, ranked, strict=True):
        clips = [
            clip
            for target in line.get("targets", {}).values()
            for clip in target["sure"] + target["unlikely"]
        ]
        try:
            if clips and room > 0 and _attends(of.runs[0]):
                room -= _add(of.runs[0], clips, media, room)
        except EgofeatError as error:
            notes.append(f"Attention of {of.runs[0].path} is not shown: {error}.")
    return notes


def _attends(run: Finished) -> bool:
    return any(isinstance(member, Attentive) for member in run.config.make_head().members)


def _add(
    finished: Finished, clips: Sequence[dict[str, Any]], media: Mapping[str, Media], room: int
) -> int:
    """Add pictures as long as there is room; returns their bytes."""
    run, used = load_run(finished.path), 0
    store = open_run_store(run)
    for clip in clips:
        if used < room:
            looked = looks_at(run, store, clip["id"], media)
            clip["looks"] = [picture for one in looked[:1] for picture in _pictures(one)]
            used += sum(map(len, clip["looks"]))
    return used


def _pictures(looked: Looked) -> list[str]:
    steps = middles(len(looked.moments), min(EACH, len(looked.moments)))
    pictures = lit(frames_of(looked, steps, _SIDE), looked.attention[steps])
    return [encoded(one) for one in (pictures * 255).astype(np.uint8)]
