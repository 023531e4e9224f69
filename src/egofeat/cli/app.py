"""The command that all others hang on, and how each of them ends."""

import json
import re
import sys
from dataclasses import asdict
from importlib import metadata
from itertools import pairwise
from typing import Annotated, Any

import typer

from egofeat import console
from egofeat.cli.interruption import interruptible
from egofeat.errors import EgofeatError, RequestError

app = typer.Typer(
    name="egofeat",
    help=(
        "Decode egocentric video once, keep frozen-backbone features, train light heads in minutes."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
)

_RESUMING = ("extract", "reextract", "roi", "persons", "fit-head", "demo")
"""Commands that go on where they stopped."""

Json = Annotated[bool, typer.Option("--json", help="Print one machine-readable result.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"egofeat {metadata.version('egofeat')}")
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Decode egocentric video once, keep frozen-backbone features, train light heads."""


def main() -> None:
    """Run the command line; what a user can cause ends in one sentence, not a traceback."""
    try:
        _run()
    except KeyboardInterrupt:  # when the work was done, and the program nearly
        sys.exit(130)


def _run() -> None:
    with interruptible() as interruption:
        try:
            _refuse_empty_words(sys.argv[1:])
            app()
        except EgofeatError as error:
            _refuse(str(error), error.exit_code)
        except (MemoryError, RuntimeError) as error:
            from egofeat.device import is_out_of_memory  # torch is there: it raised this

            if not is_out_of_memory(error):
                raise
            _refuse(
                "memory has run out: give fewer at once (--batch-size, --workers), or ask for a "
                "smaller network, head or input",
                1,
            )
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _refuse(f"{where}{error.strerror or error}", 1)
        except SystemExit as stop:
            if stop.code != 130:
                raise
            mend = ": give the same command again to go on where it stopped"
            console.note("interrupted" + mend * (sys.argv[1] in _RESUMING))
            sys.exit(128 + interruption.signum)


def show(report: Any, as_json: bool) -> None:
    """Print a report: a dataclass that says itself to people by `lines()`."""
    if as_json:
        print(json.dumps(asdict(report), allow_nan=False))
    else:
        console.say("\n".join(report.lines()))


def names(listed: str | None) -> tuple[str, ...]:
    """`a,b` to `("a", "b")`."""
    return tuple(name.strip() for name in (listed or "").split(",") if name.strip())


def is_said(ctx: typer.Context, option: str) -> bool:
    """Say whether an option stands on the command line, be it with its default."""
    source = ctx.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _refuse_empty_words(words: list[str]) -> None:
    """An empty path would be the current folder, and no splits all of them."""
    for before, word in pairwise(["egofeat", *words]):
        if not word or re.fullmatch(r"--[a-z-]+=", word):
            raise RequestError(
                f"an empty word follows {before}: give a value, or set the variable that it "
                "comes from"
                if not word
                else f"{word} is empty: give a value, or set the variable that it comes from"
            )


def _refuse(sentence: str, exit_code: int) -> None:
    console.note(f"egofeat: {sentence}")
    sys.exit(exit_code)
