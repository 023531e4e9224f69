"""The command line: parse, call one pipeline, print.

Results go to standard output, everything else to standard error. Exit codes: 0 done,
1 some work failed, 2 a wrong request, 130 interrupted. Pipelines are imported by the
command that needs them, so that `--help` answers at once.
"""

from egofeat.cli import (
    annotate,
    backbones,
    bench,
    export,
    features,
    persons,
    plugins,
    reextract,
    roi,
    training,
    visualize,
)
from egofeat.cli.app import app, main

__all__ = [
    "annotate",
    "app",
    "backbones",
    "bench",
    "export",
    "features",
    "main",
    "persons",
    "plugins",
    "reextract",
    "roi",
    "training",
    "visualize",
]
