"""How the program starts, and how it ends: in one sentence, not a traceback."""

import io
import re
import sys
from importlib import metadata
from itertools import pairwise
from typing import Annotated

import typer

from egofeat import console
from egofeat.cli.command import app
from egofeat.errors import EgofeatError, RequestError
from egofeat.interruption import interruptible
from egofeat.pipelines.sentence import sentence_of


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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of ASCII has no ×
            stream.reconfigure(errors="replace")
    try:
        _run()
    except KeyboardInterrupt:  # when the work was done, and the program nearly
        sys.exit(130)
    finally:
        console.name_options({})  # whoever calls this from Python goes on in Python


def _run() -> None:
    with interruptible() as interruption:
        try:
            _refuse_empty_words(sys.argv[1:])
            app()
        except EgofeatError as error:
            _refuse(str(error), error.exit_code)
        except (MemoryError, RuntimeError, OSError) as error:
            if not (sentence := sentence_of(error)):
                raise
            _refuse(sentence, 1)
        except SystemExit as stop:
            if stop.code != 130:
                raise
            sys.exit(128 + interruption.signum)


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
