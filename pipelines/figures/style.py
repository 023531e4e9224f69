"""The one look that all pictures share: their palette, sheet, axes, and the note below.

Figures are made without pyplot, so nothing here depends on a display, on the order of
calls or on the thread.
"""

import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np
from matplotlib import rc_context, rcParams, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.markers import TICKDOWN, TICKLEFT
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from egofeat import console
from egofeat.pipelines.figures import fonts
from egofeat.store.damage import writing

DPI = 130
_also: ContextVar[str] = ContextVar("_also", default="png")
TEXT = 9.0
"""Points; nothing is written smaller than 8."""
INK, FAINT, GRID = "#222222", "#767676", "#e3e3e3"
_LETTER = 0.066
"""Inches that a letter of the smallest text takes."""
_OFF = 6.5
"""Points between an axis and the names along it."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours that colour-blind eyes tell apart (Okabe and Ito, 2008)."""
_SETTINGS = {name: of for name, of in rcParamsDefault.items() if not name.startswith("backend")}
_SETTINGS |= {"pdf.fonttype": 42, "svg.hashsalt": "egofeat", "text.parse_math": False}


@contextmanager
def own_settings() -> Iterator[None]:
    """Draw by matplotlib's own settings, whatever the user's are; theirs come back after.

    Around all that makes a figure, for its parts take settings as they are made. Those alone that
    differ are set: to check them all takes longer than many a part.
    """
    others = {name: of for name, of in _SETTINGS.items() if rcParams[name] != of}
    with rc_context(others):
        yield


def figure(width: float, height: float) -> Figure:
    """A white sheet of so many inches."""
    layout = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.12)
    sheet = Figure((width, height), dpi=DPI, facecolor="white", layout=layout)
    FigureCanvasAgg(sheet)  # by which names are measured
    return sheet


def style(axes: Axes, title: str, across: str, up: str) -> Axes:
    """Give axes the look, their title and the names of both directions; returns them."""
    axes.set_title(title, fontsize=TEXT + 1, color=INK, loc="left")
    axes.set_xlabel(across, fontsize=TEXT, color=INK)
    axes.set_ylabel(up, fontsize=TEXT, color=INK)
    axes.tick_params(labelsize=8, colors=INK, length=3)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    return axes


def bars(axes: Axes, title: str, across: str, names: Iterable[str]) -> Axes:
    """Give axes the look of a list of horizontal bars, the first on top; returns them."""
    words = list(names)
    style(axes, title, across, "").grid(visible=False, axis="y")
    name_places(axes, range(len(words)), words)
    axes.set_ylim(len(words) - 0.4, -0.6)
    return axes


def name_places(
    axes: Axes, at: Sequence[float], names: Sequence[str], turned: bool = False
) -> None:
    """Name places along the vertical axis, or along the other by names that are turned.

    They look like ticks, which take twice as long to make and to draw. The layout, which measures
    a name nine times, sees the longest alone.
    """
    axis: Axis = axes.xaxis if turned else axes.yaxis
    along = axes.get_xaxis_transform() if turned else axes.get_yaxis_transform()
    text_at = axes.get_xaxis_text1_transform if turned else axes.get_yaxis_text1_transform
    beside = text_at(_OFF)
    axis.set_ticks([])
    points = [(place, 0.0) if turned else (0.0, place) for place in at]
    marks = Line2D(*np.reshape(points, (-1, 2)).T, linestyle="", markersize=3, markeredgewidth=0.8)
    marks.set(marker=TICKDOWN if turned else TICKLEFT, color=INK, transform=along, clip_on=False)
    axes.add_artist(marks)
    labels = [axes.text(*point, name) for point, name in zip(points, names, strict=True)]
    for label in labels:
        label.set(transform=beside[0], va=beside[1], ha=beside[2], rotation=90 * turned)
        label.set(fontsize=8, color=INK)
    _legible(labels)
    with _any_letters():
        lengths = [72 / DPI * label.get_window_extent().size[int(turned)] for label in labels]
    longest = max(lengths, default=0.0)
    for label, length in zip(labels, lengths, strict=True):
        label.set_in_layout(length == longest)
    axis.labelpad = _OFF + longest + 4


def whole_ticks(axis: Axis) -> None:
    """Ticks at whole numbers alone, even where there is one, as of a single epoch."""
    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def few_ticks(axis: Axis, say: Callable[[float], str]) -> None:
    """Ticks of a logarithmic axis at 1, 2, 5, 10, …, in words."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: say(value)))
    axis.set_minor_locator(NullLocator())


def note(sheet: Figure, words: str) -> None:
    """Write below everything, in as many lines as the sheet is too narrow for."""
    lines = textwrap.wrap(words, max(20, int((sheet.get_figwidth() - 0.4) / _LETTER)))
    sheet.supxlabel("\n".join(lines), fontsize=8, color=FAINT)


@contextmanager
def also(form: str) -> Iterator[None]:
    """Write every figure as pdf or svg too, beside the PNG; `png` adds nothing.

    Where figures are `undrawn`, they stay so.
    """
    before = _also.set(form if _also.get() else "")
    try:
        yield
    finally:
        _also.reset(before)


def form() -> str:
    """In which format figures are written here beside PNG: `also`; empty where they are undrawn."""
    return _also.get()


@contextmanager
def undrawn() -> Iterator[None]:
    """Write no figures: where many runs are made, nobody looks at those of each."""
    with also(""):
        yield


def save(sheet: Figure, out: Path) -> Path:
    """Write the sheet as a PNG, and as `also` says, or not at all; folders above it are made.

    Of letters that no font has, and of control characters, there is a box or a code.

    Raises StoreError where the disk refuses.
    """
    if not _also.get():
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    _legible(sheet.findobj(Text))
    with _any_letters(), writing(out):
        if layout := sheet.get_layout_engine():  # else all is drawn twice, once for it alone
            layout.execute(sheet)
            sheet.set_layout_engine()  # none, by `own_settings`
        sheet.savefig(out, format="png", pil_kwargs={"compress_level": 3})
        if (form := _also.get()) != "png":  # undated: the same figure is the same file
            undated = {"CreationDate" if form == "pdf" else "Date": None}
            sheet.savefig(out.with_suffix(f".{form}"), format=form, metadata=undated)
    return out


def _legible(texts: Iterable[Text]) -> None:
    """Write control characters in codes, and each text in fonts that have its letters."""
    words = {text: console.printable(text.get_text()) for text in texts}
    fonts.look_for("".join(words.values()))
    for text, said in words.items():
        text.set_text(said)
        if others := fonts.others(said):
            text.set_fontfamily(["sans-serif", *others])


@contextmanager
def _any_letters() -> Iterator[None]:
    """Have matplotlib say nothing of letters that no font has: that is said once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def short(name: str, most: int = 26) -> str:
    """A name that takes no more letters than there is room for, and is all on one line."""
    name = " ".join(console.printable(name).split())
    return name if len(name) <= most else name[: most - 1] + "…"
