"""What a person can choose about the demo."""

from pathlib import Path

from egofeat.options import Options, option


class DemoConfig(Options, panel="Demo"):
    """What a person can choose about the demo."""

    data: Path | None = option(
        "Your class folders, `<split>/<class>/<clip>` or `<class>/<clip>`, in place of drawn "
        "videos.",
        default=None,
    )
    out: Path = option("Folder of everything that is made.", default=Path("demo"))
