"""`egofeat report`: runs on one page to look at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from egofeat import console
from egofeat.errors import RequestError
from egofeat.pipelines.comparing.compare import compare_runs
from egofeat.pipelines.comparing.configurations import Configuration
from egofeat.pipelines.comparing.finished import Finished, find_beside
from egofeat.pipelines.reporting.content import find_segments, overview
from egofeat.pipelines.reporting.details import details
from egofeat.pipelines.reporting.looks import add_looks
from egofeat.pipelines.reporting.options import ReportConfig
from egofeat.pipelines.reporting.page import as_json, page
from egofeat.pipelines.reporting.persons import precisions
from egofeat.pipelines.reporting.stills import Stills, stills
from egofeat.pipelines.reporting.swept import split_of, sweeps_among, without_tried
from egofeat.store.files import replace_file
from egofeat.words import counted

_MOST_DETAILS = 3_000_000
"""Bytes that classes, matrices and curves may take; further configurations have none."""
_REASONS = 3
"""Why clips have no frames, that are said."""


@dataclass(frozen=True)
class Reported:
    """A page that was written."""

    out: str
    bytes: int
    configurations: int
    runs: int
    clips_with_frames: int
    notes: tuple[str, ...]
    """What the page does not show, and why."""

    def lines(self) -> Iterator[str]:
        """The same for people."""
        yield f"{counted(self.configurations, 'configurations')}, {counted(self.runs, 'runs')}"
        yield from self.notes
        yield f"page: {self.out} ({console.size(self.bytes)}), for a browser"


def report(asked: ReportConfig) -> Reported:
    """Write a page that shows runs.

    Raises:
        RequestError: no such runs or figure, none with metrics, or no clip in common.
        StoreError: the disk refuses.
    """
    sweeps = sweeps_among(asked.runs)
    asked = replace(asked, split=asked.split or split_of(sweeps, asked.runs))
    found, baseline = find_beside(asked.runs, asked.baseline, asked.split)
    found, tried = without_tried(found, sweeps)
    judged = [one for one in found if one.metrics]
    if not judged:
        raise RequestError(
            f"none of {counted(len(found), 'runs')} has metrics of "
            f"{asked.split or 'its validation split'}: give egofeat evaluate {found[0].path}"
            f"{f' --split {asked.split}' if asked.split else ''}"
        )
    compared = compare_runs(judged, asked.figure, asked.split, baseline)
    notes = [*(note for one in sweeps for note in one.notes()), *tried]
    notes += _left_out(found) + _part_of_split(judged)
    segments = find_segments(judged)
    whole = overview(compared, asked.split, segments)
    notes += _detailed(whole, compared.ranked, asked)
    seen = stills(_clips(whole["configurations"]), segments, asked.manifest)
    if seen.images:
        notes += add_looks(whole["configurations"], compared.ranked, seen.media)
    whole |= {"images": seen.images, "unseen": seen.unseen, "notes": notes}
    title = f"{judged[0].config.dataset}: {whole['words']}"
    content = page(title, whole)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(asked.out, content)
    return Reported(
        out=str(asked.out),
        bytes=len(content),
        configurations=len(compared.ranked),
        runs=sum(len(of.runs) for of in compared.ranked),
        clips_with_frames=len(seen.images),
        notes=tuple(notes + _unseen(seen)),
    )


def _detailed(
    whole: dict[str, Any], ranked: Sequence[Configuration], asked: ReportConfig
) -> list[str]:
    """Add what is true of classes, the best first, as long as there is room; say what is left."""
    room = _MOST_DETAILS
    for place, (line, of) in enumerate(zip(whole["configurations"], ranked, strict=True)):
        if of.runs[0].config.of_persons:
            line["persons"] = precisions(of, asked.split)
            continue
        targets = {
            target: details(of, target, asked.split, asked.clips)
            for target, names in of.runs[0].config.classes.items()
            if f"{target}/top1" in of.runs[0].metrics and names == whole["classes"][target]
        }
        room -= len(as_json(targets))
        if room < 0 and place:
            left = len(ranked) - place
            return [
                f"Classes are shown of the {place} best configurations; for the other {left} the "
                "page has no room: give egofeat report of their runs alone."
            ]
        line["targets"] = targets
    return []


def _clips(lines: list[dict[str, Any]]) -> Iterator[str]:
    """Ids of the clips that are shown, those of the best configuration first."""
    for line in lines:
        for of in line.get("targets", {}).values():
            yield from (clip["id"] for clip in of["sure"] + of["unlikely"])


def _left_out(found: Sequence[Finished]) -> list[str]:
    return [
        f"{one.path} is left out: it is not finished, or not evaluated on this split."
        for one in found
        if not one.metrics
    ]


def _part_of_split(runs: Sequence[Finished]) -> list[str]:
    partly = [one for one in runs if one.segments < one.segments_of_split]
    return [
        f"{one.path} was evaluated on {one.segments:,} of {one.segments_of_split:,} segments: the "
        "others have no features."
        for one in partly[:3]
    ]


def _unseen(seen: Stills) -> list[str]:
    """Why clips have no frames, each reason once."""
    reasons = list(dict.fromkeys(seen.unseen.values()))
    said = "; ".join(reasons[:_REASONS]) + "; …" * (len(reasons) > _REASONS)
    return [f"{counted(len(seen.unseen), 'clips')} without frames: {said}"] if reasons else []
