"""What makes a feature's numbers, and the digest that names a store after it."""

import functools
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from egofeat.errors import StoreError
from egofeat.names import short_name
from egofeat.plugins import FromFile
from egofeat.recipe.imported import BACKBONE
from egofeat.recipe.persons import RoiAlign
from egofeat.recipe.plan import Plan
from egofeat.recipe.plans import plan_of
from egofeat.recipe.sampling import KeyFrames
from egofeat.recipe.transform import Transform


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the numbers in a store, and nothing else.

    Two extractions with the same recipe may share a store; a change of any field is
    another store. Versions of libraries and the device are recorded with the
    recipe, not in it, so that an upgrade does not orphan a cache.
    """

    backbone: str
    """Its name; of a variant its whole description, so that no file is needed to build it."""
    weights: str
    """`sha256:<hex>` of the weights file, `random:<seed>`, or `own:<sha256>` of the parameters
    that a package's module gives itself; of imported features `files:<sha256>` of the list of
    files."""
    transform: Transform
    """How decoded frames become the network's input: resize rule, crop, mean, std."""
    plan: Plan
    """Which frames of a segment are taken."""
    taps: Mapping[str, tuple[int, ...]]
    """Tap name to the shape of one row: `(V, C)`, `(V, C, h, w)` or, where clips are seen,
    `(V, t, C, h, w)`, with V views a segment; in a flat store without V."""
    roi: RoiAlign | None = None
    """Of persons: how their boxes are cut out of the backbone's maps."""
    dtype: str
    """`float16` or `float32`, as stored."""
    precision: str = "float32"
    """Arithmetic of the network: `float32`, `tf32`, `fp16` or `bf16`; `unknown` of imported
    features."""
    engine: str = "torch"
    """What runs the network: `torch` or `openvino`."""
    decoder: str = "pyav"
    package: str = ""
    """Name and version of the package that adds the backbone; empty of egofeat's own."""

    @property
    def flat(self) -> bool:
        """Whether a segment has a number of rows of its own: windows of a video, or persons."""
        return self.plan.flat

    @property
    def imported(self) -> bool:
        """Whether another program made the features, so that they cannot be extracted again."""
        return self.backbone.startswith(BACKBONE)

    @property
    def of_persons(self) -> bool:
        """Whether a segment is a key frame and each row one of its persons."""
        return self.boxes is not None

    @property
    def boxes(self) -> str | None:
        """Digest of the boxes of the persons; None where rows are no persons."""
        return self.plan.boxes if isinstance(self.plan, KeyFrames) else None

    @functools.cached_property
    def digest(self) -> str:
        """Hexadecimal sha256 of the recipe's canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def network(self) -> str:
        """The backbone's name for people: of a variant not its whole description."""
        return short_name(self.backbone)

    @property
    def store_name(self) -> str:
        """Name of the store's folder, `<backbone>-<first 8 digits of the digest>`."""
        plain = re.sub(r"[:/\\@]+", "_", self.network)
        return f"{plain}-{self.digest[:8]}"

    @property
    def row_bytes(self) -> int:
        """Bytes that one row takes over all taps."""
        itemsize = 2 if self.dtype == "float16" else 4
        return sum(itemsize * math.prod(shape) for shape in self.taps.values())

    def steps_of(self, tap: str) -> int:
        """Steps of one view of a tap, t: 1 where a view is a vector or a frame's maps."""
        shape = self.taps[tap]
        return shape[1] if len(shape) == 5 else 1

    def only(self, tap: str) -> Self:
        """The recipe of one tap alone."""
        return replace(self, taps={tap: self.taps[tap]})

    def of_boxes(self, boxes: str | None) -> Self:
        """The same recipe for other persons."""
        if not isinstance(self.plan, KeyFrames):
            return self
        return replace(self, plan=replace(self.plan, boxes=boxes))

    def of_one_view(self) -> Self:
        """The same recipe with one view a segment, where the plan fixes their number."""
        if not self.plan.counted:
            return self
        return replace(
            self,
            plan=self.plan.but(**{self.plan.counted: 1}),
            transform=replace(self.transform, crops=1),
            taps={tap: (1, *shape[1:]) for tap, shape in self.taps.items()},
        )

    def differences(self, other: "Recipe") -> dict[str, tuple[Any, Any]]:
        """Dotted names of what differs, to this recipe's value and the other's; None is absent."""
        own, others = _dotted(self), _dotted(other)
        return {
            name: (own.get(name), others.get(name))
            for name in sorted({*own, *others})
            if own.get(name) != others.get(name)
        }

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, in which `roi` stands in the transform."""
        transform = self.transform.to_dict()
        if self.roi:
            transform["roi"] = self.roi.to_dict()
        return {
            **{name: value for name, value in vars(self).items() if name in _PLAIN},
            **({"package": self.package} if self.package else {}),
            # Where it is another than all had before there were several.
            **({"engine": self.engine} if self.engine != "torch" else {}),
            "transform": transform,
            "plan": self.plan.to_dict(),
            "taps": {tap: list(shape) for tap, shape in self.taps.items()},
        }

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """Rebuild a recipe from parsed JSON.

        Raises:
            StoreError: a field is missing, unknown, or of another kind.
        """
        try:
            return cls.parse(form)
        except ValueError as error:
            raise StoreError(f"{error}: extract the features again with this egofeat") from None

    @classmethod
    def parse(cls, form: Mapping[str, Any]) -> Self:
        """`from_dict`, for who has a sentence of its own.

        Raises:
            ValueError: a field is missing, unknown, or of another kind; the message is a clause.
        """
        try:
            return cls(**_read(form))
        except (AttributeError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"the recipe is not one that this egofeat knows ({error})") from None


_PLAIN = ("backbone", "weights", "dtype", "precision", "decoder")
_Part = TypeVar("_Part")


def _read(form: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a recipe, from its JSON form."""
    from egofeat.recipe.schema import RecipeText  # noqa: PLC0415
    from egofeat.schema import parse  # noqa: PLC0415

    read = parse(RecipeText, json.dumps(form, allow_nan=False))
    roi = read.transform.pop("roi", None)
    fields = {name: getattr(read, name) for name in (*_PLAIN, "engine", "package", "taps")}
    fields["backbone"] = FromFile(read.backbone)
    fields["plan"] = _part("plan", plan_of, read.plan)
    fields["transform"] = _part("transform", Transform.from_dict, read.transform)
    fields["roi"] = _part("transform.roi", RoiAlign.from_dict, roi) if roi else None
    if (fields["roi"] is None) != (read.plan.get("boxes") is None):
        raise ValueError("plan.boxes and transform.roi go together, and one is missing")
    return fields


def _part(place: str, read: Callable[[Mapping[str, Any]], _Part], form: Any) -> _Part:
    try:
        return read(form)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _dotted(recipe: Recipe) -> dict[str, Any]:
    dotted: dict[str, Any] = {}
    for name, value in (recipe.to_dict() | {"taps": recipe.taps}).items():
        if isinstance(value, dict):
            dotted |= {f"{name}.{inner}": of for inner, of in value.items()}
        else:
            dotted[name] = value[:19] if name == "weights" else value
    return dotted
