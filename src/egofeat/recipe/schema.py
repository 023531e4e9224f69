"""The outer shape of a recipe's JSON; its parts read themselves."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from egofeat.schema import Count, Name


class RecipeText(BaseModel):
    """A recipe, in store.json and in a run's config.yaml."""

    model_config = ConfigDict(extra="forbid")

    backbone: Name
    weights: str
    transform: dict[str, Any]
    plan: dict[str, Any]
    taps: Annotated[
        dict[Name, Annotated[tuple[Count, ...], Field(min_length=1, max_length=5)]],
        Field(min_length=1, max_length=1000),
    ]
    dtype: Literal["float16", "float32"]
    precision: Literal["float32", "tf32", "fp16", "bf16"]
    engine: Literal["torch", "openvino"] = "torch"
    decoder: str
    package: str = ""
