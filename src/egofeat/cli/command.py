"""A command, made of the options that its function takes; and how its report is printed.

@command("evaluate", "Heads")
def evaluate(asked: EvaluateConfig) -> Report:
    \"\"\"Evaluate a trained head on a split.\"\"\"
"""

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

import typer
from rich.console import Console
from rich.panel import Panel
from typer.core import TyperCommand

from egofeat import console
from egofeat.errors import RequestError
from egofeat.names import DESCRIBED
from egofeat.options import REQUEST, Declared, Options, declared, plain

PLAIN = (bool, int, float, str, Path)
_Run = TypeVar("_Run", bound=Callable[..., Any])
_TYPED: dict[str, str] = {}
"""Field to option, of all commands."""

app = typer.Typer(
    name="egofeat",
    help="Decode egocentric video once, keep frozen-backbone features, train light heads.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
)
_Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
_Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Read options from this YAML or JSON file, or from what --json printed; options typed "
        "here win.",
    ),
]


class Report(Protocol):
    """What a command found, a dataclass; `exit_code` says that some work failed."""

    def lines(self) -> Iterable[Any]:
        """The report for people: text, or tables of rich."""


@dataclass(frozen=True)
class Printed:
    """A report made of what `--json` prints and of what people read."""

    found: Any
    said: Sequence[Any]

    def to_dict(self) -> Any:
        """The object that `--json` prints."""
        return self.found

    def lines(self) -> Sequence[Any]:
        """The report for people."""
        return self.said


def command(
    name: str,
    panel: str | None = None,
    *,
    on: typer.Typer = app,
    saved: bool = True,
    resumes: bool = False,
    gone: Mapping[str, str] | None = None,
    more: Callable[[Mapping[str, Any]], Panel | None] = lambda given: None,
) -> Callable[[_Run], _Run]:
    """Make a command of a function of `Options` that returns a report.

    The first of them is what the command is asked for, which its report repeats.

    Args:
        name: of the command.
        panel: of `egofeat --help` that it stands in.
        on: group that it belongs to.
        saved: whether options may come from a file, by --config.
        resumes: whether the same command goes on where it was interrupted.
        gone: options that there were, and what to do in place of each.
        more: what else help shows, of what was typed by the name of its field.
    """

    def register(run: _Run) -> _Run:
        kinds = [kind for name, kind in get_type_hints(run).items() if name != "return"]
        options = [one for kind in kinds for one in declared(kind)]
        for one in options:
            _TYPED.update(dict.fromkeys(one.names, one.typed) if one.flags else {})

        def call(
            *, ctx: typer.Context, as_json: bool, config: Path | None = None, **_: Any
        ) -> None:
            given = _given(ctx, kinds, options, config)
            asked = [kind.of(given) for kind in kinds]
            show(run(*asked), as_json, asked[0] if saved else None)

        parameters = [_named("ctx", typer.Context, inspect.Parameter.empty)]
        parameters += map(_parameter, options)
        if saved:
            parameters.append(_named("config", _Config, None))
        parameters.append(_named("as_json", _Json, default=False))
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {one.name: one.annotation for one in parameters}
        call.__doc__ = run.__doc__
        call.command = {  # type: ignore[attr-defined]
            "options": {one.name: one for one in options},
            "resumes": resumes,
            "gone": gone or {},
            "more": more,
        }
        on.command(name, cls=Command, rich_help_panel=panel)(call)
        return run

    return register


class Command(TyperCommand):
    """A command that knows the options that it was made of."""

    def said(self, name: str) -> Any:
        """What `command` was told."""
        told: dict[str, Any] = self.callback.command  # type: ignore[union-attr]
        return told[name]

    def complete_help(self) -> None:
        """Add bounds, choices and defaults to the help of each option, which asks registries."""
        for parameter in self.params:
            one = self.said("options").get(parameter.name)
            if one:
                parameter.help = " ".join([one.option.help, *one.remarks, *one.default_remark])  # type: ignore[attr-defined]

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Print help."""
        panel = self.said("more")(ctx.meta.get("given", {}))
        self.complete_help()
        super().format_help(ctx, formatter)
        if panel:
            Console().print(panel)

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Sentences name options as typed; one that went is refused, and they say where it is."""
        own = {name: one.typed for one in self.said("options").values() for name in one.names}
        console.name_options({**_TYPED, **own})
        for word in args:
            if sentence := self.said("gone").get(word.partition("=")[0]):
                raise RequestError(sentence)
        ctx.meta["given"] = self.make_parser(ctx).parse_args(list(args))[0]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run; an interruption is said, and what to do then."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            mend = ": give the same command again to resume"
            console.note("interrupted" + mend * self.said("resumes"))
            raise


def show(report: Any, as_json: bool, asked: Options | None = None) -> None:
    """Print a report; exit with its code where some work failed."""
    if as_json:
        found = report.to_dict() if hasattr(report, "to_dict") else asdict(report)
        if asked:
            found |= {REQUEST: _request(asked)}
        print(json.dumps(found, allow_nan=False, default=str))
    else:
        console.say_all(report.lines())
    if code := getattr(report, "exit_code", 0):
        if as_json and hasattr(report, "failures_line"):
            console.note(report.failures_line())
        raise typer.Exit(code)


def _request(asked: Options) -> dict[str, Any]:
    """The options, in which a backbone that a file describes is its description."""
    found = plain(asked)
    for name in ("backbone", "backbones"):
        said = found.get(name) or []
        for one in [said] if isinstance(said, str) else said:
            if one.endswith(DESCRIBED):
                from egofeat.extract.backbones import spec_of

                text = json.dumps(found[name]).replace(
                    json.dumps(one), json.dumps(spec_of(one).name)
                )
                found[name] = json.loads(text)
    return found


def _given(
    ctx: typer.Context,
    kinds: Sequence[type[Options]],
    options: Sequence[Declared],
    config: Path | None,
) -> dict[str, Any]:
    """The values that stand on the command line or in the file, by the name of their field."""
    from egofeat.saved_options import read_saved, read_value

    typed = {
        one.name: read_value(one, ctx.params[one.name])
        for one in options
        if (source := ctx.get_parameter_source(one.name)) and source.name == "COMMANDLINE"
    }
    given = read_saved(config, kinds) if config else {}
    for kind in kinds:
        given = kind.over(given, typed)
    other = ", or --config with a file of it" if "config" in ctx.params else ""
    for one in options:
        if one.default is MISSING and one.name not in given:
            raise RequestError(f"{one.typed} is missing: give it{other}")
    return given


def _parameter(one: Declared) -> inspect.Parameter:
    """The parameter that typer makes an argument or an option of."""
    kinds = [one.hint, *get_args(one.hint)]
    kind = next((kind for kind in PLAIN if kind in kinds), str)
    if one.option.read or (get_origin(one.hint) is tuple and not one.option.repeated):
        kind = str
    annotation: Any = list[kind] if one.option.repeated else kind  # type: ignore[valid-type]
    info: Any = typer.Option(*one.flags, help=one.option.help, show_default=False)
    if one.option.argument:
        info = typer.Argument(help=one.option.help, show_default=False, metavar=one.typed)
    info.rich_help_panel = one.panel
    if kind is bool:
        return _named(one.name, Annotated[bool, info], default=False)
    return _named(one.name, Annotated[annotation | None, info], None)


def _named(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
