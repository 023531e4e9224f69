"""Runs whose names would be markup, and a browser."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from egofeat.heads import TrainerConfig
from egofeat.pipelines.reporting.options import ReportConfig
from egofeat.pipelines.reporting.report import Reported, report
from egofeat.pipelines.training.fit import fit_head
from egofeat.pipelines.training.options import FitConfig

CHROMIUM = Path("/usr/bin/chromium")
STRANGE = ("</script><script>alert(1)</script>", "\"é' & <b>bold</b>", "切る 🔪 <!--")


_trained: list[Path] = []


@pytest.fixture
def study(labelled_store: Callable[..., Path], tmp_path: Path) -> Path:
    """Two seeds of a good head and one that hardly learns, of classes with strange names."""
    if not _trained:
        classes = {"verb": STRANGE, "noun": ("cup", "knife", "pan")}
        drawn = np.random.default_rng(1).integers(0, 3, (2, 90)).tolist()
        labels = dict(zip(classes, drawn, strict=True))
        store = labelled_store(["train"] * 60 + ["val"] * 30, labels, classes)
        for head, seed, lr in (("linear", 0, 0.02), ("linear", 1, 0.02), ("lstm", 0, 1e-6)):
            trainer = TrainerConfig(epochs=6, lr=lr, seed=seed, device="cpu")
            out = tmp_path / "trained" / f"<img src=x onerror=alert(1)> {head} & {seed}"
            fit_head(FitConfig(head=head, store=store, out=out, trainer=trainer))
        _trained.append(tmp_path / "trained")
    return shutil.copytree(_trained[0], tmp_path / "runs")


@pytest.fixture
def written(study: Path, tmp_path: Path) -> Callable[..., tuple[Path, Reported]]:
    """Write the report on the study."""

    def write(**asked: Any) -> tuple[Path, Reported]:
        out = tmp_path / "pages" / "report.html"
        runs = asked.pop("runs", (study,))
        manifest = asked.pop("manifest", tmp_path / "none.yaml")
        return out, report(ReportConfig(runs=runs, out=out, manifest=manifest, **asked))

    return write


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()
