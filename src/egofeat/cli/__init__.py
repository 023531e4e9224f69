"""The command line: parse, call one pipeline, print.

Results go to standard output, everything else to standard error. Exit codes: 0 done,
1 some work failed, 2 a wrong request, 130 interrupted. Pipelines are imported by the
command that needs them, so that `--help` answers at once.
"""

from egofeat.cli import features, heads, measuring, pictures, stores
from egofeat.cli.app import main
from egofeat.cli.command import app

__all__ = ["app", "features", "heads", "main", "measuring", "pictures", "stores"]
