"""Label maps in protobuf text, and which of AVA's 80 actions its evaluation counts."""

import re
from collections.abc import Mapping
from pathlib import Path

from egofeat.adapters.files import read_text
from egofeat.errors import ManifestError
from egofeat.words import quoted

MOST_ACTIONS = 10_000
"""A larger id is a mistake: classes are numbered from 1 to the largest."""

AVA_FIRST_AND_LAST = {1: "bend/bow (at the waist)", 80: "watch (a person)"}
"""Names by which AVA's own map of 80 actions is known."""

AVA_EVALUATED = frozenset(
    {1, *range(3, 16), 17, 20, 22, 24, *range(26, 31), 34, 36, 37, 38, 41, 43, *range(45, 50)}
    | {51, 52, 54, *range(56, 71), 72, 73, 74, *range(76, 81)}
)
"""Ids of the 60 actions that AVA's challenges evaluate since 2018: those with 25 examples or more
in validation and in test. The list of v2.1 (2018) and that of v2.2 (2019) hold the same."""

_ENTRY = re.compile(r"""(?:item|label)\s*:?\s*\{((?:[^{}"']|"[^"]*"|'[^']*')*)\}""")
_NAME = re.compile(r"""\bname\s*:\s*(?:"([^"]*)"|'([^']*)')""")
_ID = re.compile(r"\b(?:label_)?id\s*:\s*(\d+)\b", re.ASCII)


def read_label_map(path: Path) -> dict[int, str]:
    """Id to name of each action, ids rising.

    Both layouts that AVA publishes are read: `item {name id}` and
    `label {name label_id label_type}`.

    Raises:
        ManifestError: the file is no such map, or gives an id or a name twice.

    """
    text = re.sub(r"(?m)^\s*#.*$", "", read_text(path))
    entries = _ENTRY.findall(text)
    if not entries or _ENTRY.sub("", text).strip():
        raise ManifestError(
            f'{path} is no label map: write an `item {{ name: "sit" id: 11 }}` for each action'
        )
    names: dict[int, str] = {}
    for entry in entries:
        name, number = _NAME.search(entry), _ID.search(_NAME.sub("", entry))
        if not name or not number or not _is_id(number[1]):
            said = " ".join(entry.split())
            raise ManifestError(
                f"{path} has the entry {quoted(said)}: give it a `name` and an `id` from 1 on"
            )
        id_, action = int(number[1]), name[1] or name[2] or ""
        if id_ in names or action in names.values():
            raise ManifestError(
                f"{path} has the action {quoted(action)} or its id {id_} twice: keep one"
            )
        names[id_] = action
    return dict(sorted(names.items()))


def _is_id(digits: str) -> bool:
    return len(digits) < 10 and 1 <= int(digits) <= MOST_ACTIONS


def class_names(actions: Mapping[int, str]) -> tuple[str, ...]:
    """Names by class index, which is the id less 1; `(<id>)` where the map leaves an id out."""
    return tuple(actions.get(id_, f"({id_})") for id_ in range(1, max(actions) + 1))


def evaluated_ids(actions: Mapping[int, str]) -> frozenset[int]:
    """Ids that count in evaluation, as far as the map itself tells.

    Of AVA's map of 80 actions they are the 60 evaluated ones; of any other, its own ids.
    """
    ava = len(actions) == max(actions) == max(AVA_FIRST_AND_LAST)
    if ava and actions.items() >= AVA_FIRST_AND_LAST.items():
        return AVA_EVALUATED
    return frozenset(actions)
