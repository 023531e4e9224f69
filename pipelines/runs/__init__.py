"""Run folders: what a head was asked for and trained on, its files, and the rows it reads."""

from collections.abc import Sequence
from pathlib import Path

CONFIG = "config.yaml"
"""What makes a folder a run; it stands here so that to ask does not import torch."""
Places = Path | Sequence[Path]
"""One store, or several of one data set, which are joined by segment."""
