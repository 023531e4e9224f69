"""What a person can choose about the scoring of detections."""

from pathlib import Path

from egofeat.options import Options, option


class ScoreConfig(Options, panel="Files"):
    """What a person can choose about the scoring of detections."""

    truth: Path = option(
        "CSV of annotations: video, time stamp, x1, y1, x2, y2, action, person.",
        argument=True,
        metavar="TRUTH",
    )
    found: Path = option(
        "CSV of detections: video, time stamp, x1, y1, x2, y2, action, score.",
        argument=True,
        metavar="FOUND",
    )
    label_map: Path | None = option(
        "Count the actions of this map, .pbtxt; of AVA's 80 the 60 that its evaluation counts.",
        default=None,
        default_is="all annotated ones",
    )
    excluded: Path | None = option(
        "Leave out the key frames in this CSV: video, time stamp.", default=None
    )
