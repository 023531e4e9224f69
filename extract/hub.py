"""Files of the Hugging Face hub: where its cache has them on this machine, and their address.

The cache is read as its layout is documented; the library that keeps it is not needed.
"""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HubFile:
    """One file of a repository of models."""

    repository: str
    """`ORG/NAME`."""
    file: str
    revision: str = "main"
    """A branch, a tag or a commit."""

    @property
    def url(self) -> str:
        """Where it is downloaded."""
        return f"https://huggingface.co/{self.repository}/resolve/{self.revision}/{self.file}"

    def cached(self) -> Path | None:
        """Its place in the cache on this machine; None where it is not there."""
        folder = cache_folder() / f"models--{self.repository.replace('/', '--')}"
        reference = folder / "refs" / self.revision
        commit = reference.read_text().strip() if reference.is_file() else self.revision
        place = folder / "snapshots" / commit / self.file
        return place if place.is_file() else None


def cache_folder() -> Path:
    """Where the hub's own library keeps files, by its environment variables."""
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache).expanduser()
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else Path.home() / ".cache" / "huggingface") / "hub"
