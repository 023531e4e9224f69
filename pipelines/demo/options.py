"""What a person can choose about the demo."""

from pathlib import Path

from egofeat.options import inherited, option
from egofeat.pipelines.options import Out


class DemoConfig(Out, panel="Demo"):
    """What a person can choose about the demo."""

    data: Path | None = option(
        "Use your class folders, `<split>/<class>/<clip>` or `<class>/<clip>`, instead of "
        "drawn videos.",
        default=None,
    )
    out: Path = inherited("Write everything to this folder.", default=Path("demo"))
