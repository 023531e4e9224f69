"""Stage one, video to stores: `extract`, `roi`, `roi-from-maps`, `persons`, `reextract`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from egofeat import console
from egofeat.cli.command import Report, command
from egofeat.pipelines.extraction.options import (
    ExtractConfig,
    ExtractRequest,
    ReextractRequest,
    RoiRequest,
)
from egofeat.pipelines.options import Compute, Trial
from egofeat.pipelines.persons.options import FromMapsConfig, PersonsConfig

if TYPE_CHECKING:
    from egofeat.pipelines.extraction.job import Job

PANEL = "Features"


@command("extract", PANEL, resumes=True)
def extract(asked: ExtractRequest, trial: Trial) -> Report:
    """Run frozen backbones over every segment of a data set, once, and keep the features.

    What is in the store is not extracted again: after an interruption, or when segments were
    added, give the same command.
    """
    from egofeat.pipelines.extraction.asked import Recalled, remember
    from egofeat.pipelines.extraction.nothing_left import alone, report_of_all_done
    from egofeat.pipelines.extraction.wanted import read_dataset

    dataset, one = None, None if trial.dry_run else alone(asked)
    if one and (recalled := Recalled.of(one)):
        dataset = read_dataset(one.manifest, one.dataset)
        if report := report_of_all_done(recalled, dataset):
            return report

    # Only now is torch imported: with what makes networks it takes seconds.
    from egofeat.pipelines.crew import settled
    from egofeat.pipelines.extraction.choices import for_each
    from egofeat.pipelines.extraction.job import plan_jobs, weights_files

    asked = settled(asked)
    configs = for_each(asked.shared, asked.backbones, asked.weights, asked.taps)
    jobs = plan_jobs(configs, dataset)
    if one:
        remember(one, jobs[0], weights_files(one))
    return _run(jobs, asked, trial)


@command(
    "roi",
    PANEL,
    resumes=True,
    gone={"--store": "roi --store is a command of its own: give egofeat roi-from-maps STORE"},
)
def roi(asked: RoiRequest, trial: Trial) -> Report:
    """Run a frozen network over each key frame, once, and keep features of the persons in it.

    What is in the store is not extracted again.
    """
    from egofeat.pipelines.crew import settled
    from egofeat.pipelines.extraction.job import plan_job

    asked = settled(asked)
    return _run([plan_job(ExtractConfig(**vars(asked)))], asked, trial)


@command("roi-from-maps", PANEL, resumes=True)
def roi_from_maps(asked: FromMapsConfig) -> Report:
    """Cut features of persons out of a store of maps; no video is decoded, no network runs.

    `egofeat extract --tap slow_map,fast_map --transform squash` over key frames makes such a store.
    """
    from egofeat.pipelines.persons.roi_from_maps import cut_from_maps

    return cut_from_maps(asked)


@command("persons", PANEL, resumes=True)
def persons(asked: PersonsConfig, trial: Trial) -> Report:
    """Detect persons in the key frames of a data set, once, and keep their boxes as CSV.

    Videos that are done are not done again: after an interruption, or when key frames were
    added or moved, give the same command.
    """
    from egofeat.pipelines.crew import settled
    from egofeat.pipelines.persons.detect import forecast, run
    from egofeat.pipelines.persons.job import plan_persons

    job = plan_persons(settled(asked))
    return forecast(job) if trial.dry_run else run(job)


@command("reextract", PANEL, resumes=True)
def reextract(asked: ReextractRequest, trial: Trial) -> Report:
    """Extract again: the segments of a store with another backbone, or stores out of date.

    Only what is missing is extracted. Old stores stay until `egofeat prune` removes them.
    """
    from egofeat.pipelines.crew import settled
    from egofeat.pipelines.extraction import refresh
    from egofeat.pipelines.extraction.reextract import say_changes, swap

    asked = settled(asked)
    if asked.source is not None:
        jobs = swap(asked.source, asked.backbones, asked, weights=asked.weights, taps=asked.taps)
        for job in jobs:
            say_changes(asked.source, job)
        return _run(jobs, asked, trial)
    stale = refresh.stale_stores(asked.every or "", asked)
    for one in stale:
        console.note("\n".join(one.lines()))
    if not stale:
        console.note(f"no store of {asked.every} is out of date")
    return (refresh.forecast if trial.dry_run else refresh.refresh)(stale, asked)


def _run(jobs: "Sequence[Job]", compute: Compute, trial: Trial) -> Report:
    """Do jobs or say what they would do; one alone is reported as itself."""
    from egofeat.pipelines.extraction.extract import forecast_jobs, run_jobs

    report = forecast_jobs(jobs, compute) if trial.dry_run else run_jobs(jobs, compute)
    return report if len(jobs) > 1 else report.stores[0]
