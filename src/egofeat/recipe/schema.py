"""The outer shape of a recipe's JSON; its parts read themselves."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from egofeat.names import DESCRIBED, fault_of, short_name
from egofeat.schema import Count, Name


def _backbone(name: str) -> str:
    """A name that may be a repository's or a folder's: `Recipe.store_name` keeps no slash."""
    if name.endswith(DESCRIBED):
        raise ValueError("the backbone is a file, where its description must stand")
    if fault := fault_of(short_name(name).replace("/", "_").replace("\\", "_")):
        raise ValueError(f"the name {fault}")
    return name


class RecipeText(BaseModel):
    """A recipe, in store.json and in a run's config.yaml."""

    model_config = ConfigDict(extra="forbid")

    backbone: Annotated[str, AfterValidator(_backbone)]
    weights: str
    transform: dict[str, Any]
    plan: dict[str, Any]
    taps: Annotated[
        dict[Name, Annotated[tuple[Count, ...], Field(min_length=1, max_length=5)]],
        Field(min_length=1, max_length=1000),
    ]
    dtype: Literal["float16", "float32"]
    precision: Literal["float32", "tf32", "fp16", "bf16", "unknown"]
    engine: Literal["torch", "openvino"] = "torch"
    decoder: str
    package: str = ""
