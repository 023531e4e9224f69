"""The manifest: which data sets there are, where their media and annotations lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from egofeat.adapters.entry import Entry, Strict, describe, folder_name
from egofeat.adapters.files import read_text
from egofeat.adapters.formats import ADAPTERS
from egofeat.errors import ManifestError, RequestError
from egofeat.segments import Dataset
from egofeat.words import nearest, quoted, shortened


class _Document(Strict):
    """Keys of a whole manifest."""

    version: Literal[1] = Field(description="the version of the manifest's format, 1")
    datasets: dict[str, Any] = Field(description="a mapping of names to data sets", min_length=1)
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A validated manifest; its annotations are read when a data set is asked for."""

    path: Path
    entries: Mapping[str, Entry]
    default: str | None = None
    """The entry that is meant when none is named."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the data sets, in the order of the file."""
        return tuple(self.entries)

    def entries_of(self, dataset: str) -> tuple[str, ...]:
        """Names of the entries that read a data set, such as its colours and its flow."""
        found = (name for name, entry in self.entries.items() if entry.name_of(name) == dataset)
        return tuple(found) or (dataset,)

    def reads_flow(self, name: str) -> bool:
        """Whether an entry reads shipped flow in place of colours."""
        return getattr(self.entries.get(name), "frames", None) == "flow"

    def dataset(self, name: str | None = None) -> Dataset:
        """Read the annotations of one entry.

        Without a name it is the manifest's `default`, or its only entry.

        Raises:
            ManifestError: no such entry, or its files are absent or do not say what they must.

        """
        if name is None:
            name = self.default or (self.names[0] if len(self.names) == 1 else None)
        if name is None:
            raise ManifestError(
                f"{self.path} has several data sets ({', '.join(self.names)}): name one, "
                "or add `default: NAME` to the manifest"
            )
        if name not in self.entries:
            raise ManifestError(
                f"{self.path} has no data set {quoted(name)}: {nearest(name, list(self.names))}"
            )
        entry = self.entries[name]
        try:
            return ADAPTERS[entry.format].read(name, entry, self.path.parent)
        except RequestError as error:
            said = shortened(str(error))
            raise ManifestError(f"{self.path}, data set {quoted(name)}: {said}") from None


def load_manifest(path: Path) -> Manifest:
    """Read and validate a manifest; of the data sets themselves nothing is opened yet.

    Raises:
        ManifestError: the file is absent, no YAML, or an entry is not as its format demands.

    """
    document = _document(path, read_yaml(path))
    entries = {name: _entry(path, name, raw) for name, raw in document.datasets.items()}
    if document.default is not None and document.default not in entries:
        raise ManifestError(
            f"{path}: key 'default' names no data set: {nearest(document.default, list(entries))}"
        )
    return Manifest(path, entries, document.default)


_MOST_KEYS = 10_000
"""Of one mapping; there are so many data sets in no manifest."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe YAML in which a mapping may not say a key twice (plain YAML lets the last one win)."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge what `<<` names: mappings of mappings of mappings may grow without end."""
        super().flatten_mapping(node)
        if len(node.value) > _MOST_KEYS:
            raise yaml.MarkedYAMLError(
                problem=f"`<<` merges more than {_MOST_KEYS} keys", problem_mark=node.start_mark
            )

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {quoted(key.value)} occurs twice in one mapping",
                    problem_mark=key.start_mark,
                    note="keep one of them",
                )
            seen.add(key.value)
        return node


def read_yaml(path: Path) -> Any:
    """What a YAML file says; no mapping in it may say a key twice.

    Raises:
        ManifestError: it is absent, or no YAML; the sentence tells the line.

    """
    try:
        return yaml.load(read_text(path), _UniqueKeyLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" line {mark.line + 1}" if mark else ""
        mend = error.note or "correct the YAML there"
        said = shortened(" ".join(str(error.problem).split()), 300)
        raise ManifestError(f"{path}{place}: {said}: {mend}") from None
    except RecursionError:
        raise ManifestError(f"{path} is nested too deeply: write it flatter") from None
    except ManifestError:
        raise
    except Exception as error:  # of values with tags and of dates PyYAML raises many kinds
        said = shortened(" ".join(str(error).split()), 300) or type(error).__name__
        raise ManifestError(f"{path} is not YAML ({said}): correct it") from None


def _document(path: Path, raw: Any) -> _Document:
    if not isinstance(raw, dict):
        found = "is empty" if raw is None else "is not a mapping"
        raise ManifestError(f"{path} {found}: begin it with `version: 1` and `datasets:`")
    try:
        return _Document.model_validate(raw)
    except ValidationError as error:
        raise ManifestError(f"{path}: {shortened(describe(error))}") from None


def _entry(path: Path, name: str, raw: Any) -> Entry:
    """Validate one entry with the keys of its own format."""
    where = f"{path}, data set {quoted(name)}"
    try:
        folder_name(name)
    except ValueError as error:
        raise ManifestError(f"{where}: {error}") from None
    if not isinstance(raw, dict) or "format" not in raw:
        raise ManifestError(f"{where}: add `format:`, one of {', '.join(ADAPTERS)}")
    if raw["format"] not in ADAPTERS:
        offer = nearest(raw["format"], list(ADAPTERS))
        raise ManifestError(f"{where}: unknown format {quoted(raw['format'])}: {offer}")
    try:
        entry: Entry = ADAPTERS[raw["format"]].entry.model_validate(raw)
    except ValidationError as error:
        raise ManifestError(f"{where}: {shortened(describe(error))}") from None
    except RequestError as error:
        raise ManifestError(f"{where}: {error}") from None
    return entry
