"""What makes a feature's numbers, and the digest that names a store after it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from egofeat.errors import StoreError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the numbers in a store, and nothing else.

    Two extractions with the same recipe may share a store; a change of any field is
    another store. Versions of libraries and the device are recorded beside the
    recipe, not in it, so that an upgrade does not orphan a cache.
    """

    backbone: str
    weights: str
    """`sha256:<hex>` of the weights file, or `random:<seed>`."""
    transform: Mapping[str, Any]
    """How decoded frames become the network's input: resize rule, crop, mean, std."""
    plan: Mapping[str, Any]
    """Which frames of a segment are taken; `sampling` names the way."""
    taps: Mapping[str, tuple[int, ...]]
    """Tap name to the shape of one row: `(V, C)`, `(V, C, h, w)` or, where clips are seen,
    `(V, t, C, h, w)`, with V views a segment; in a flat store without V."""
    dtype: str
    """`float16` or `float32`, as stored."""
    precision: str = "float32"
    """Arithmetic of the network: `float32` or `bf16`."""
    decoder: str = "pyav"

    @property
    def flat(self) -> bool:
        """Whether a segment has a number of rows of its own: windows of a video, or persons."""
        return self.plan.get("sampling") == "windows" or self.of_persons

    @property
    def of_persons(self) -> bool:
        """Whether a segment is a key frame and each row one of its persons."""
        return "boxes" in self.plan

    @property
    def digest(self) -> str:
        """Hexadecimal sha256 of the recipe's canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def store_name(self) -> str:
        """Name of the store's folder, `<backbone>-<first 8 digits of the digest>`."""
        return f"{self.backbone.replace(':', '_')}-{self.digest[:8]}"

    @property
    def row_bytes(self) -> int:
        """Bytes that one row takes over all taps."""
        itemsize = 2 if self.dtype == "float16" else 4
        sizes = []
        for shape in self.taps.values():
            size = itemsize
            for extent in shape:
                size *= extent
            sizes.append(size)
        return sum(sizes)

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Rebuild a recipe from parsed JSON.

        Raises:
            StoreError: a field is missing, unknown, or of another kind.
        """
        from egofeat.store.schemas import RecipeText, parse  # noqa: PLC0415

        try:
            read = parse(RecipeText, json.dumps(fields))
        except (TypeError, ValueError, RecursionError) as error:
            raise StoreError(f"the recipe is not one that this egofeat knows ({error})") from None
        return cls(**{name: getattr(read, name) for name in RecipeText.model_fields})
