"""What a person can choose about the demo."""

from pathlib import Path

from egofeat.options import inherited, option
from egofeat.pipelines.options import Out


class DemoConfig(Out, panel="Demo"):
    """What a person can choose about the demo."""

    data: Path | None = option(
        "Your class folders, `<split>/<class>/<clip>` or `<class>/<clip>`, in place of drawn "
        "videos.",
        default=None,
    )
    out = inherited(help="Folder of everything that is made.", default=Path("demo"))
