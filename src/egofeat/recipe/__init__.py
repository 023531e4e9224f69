"""What makes a feature's numbers, as values: each with one JSON form, none that opens a file."""

from egofeat.recipe.imported import Imported
from egofeat.recipe.motion import Motion
from egofeat.recipe.persons import RoiAlign
from egofeat.recipe.plan import FramePlan, Plan, View
from egofeat.recipe.recipe import Recipe
from egofeat.recipe.sampling import Clips, KeyFrames, Uniform, Windows
from egofeat.recipe.transform import Transform

__all__ = [
    "Clips",
    "FramePlan",
    "Imported",
    "KeyFrames",
    "Motion",
    "Plan",
    "Recipe",
    "RoiAlign",
    "Transform",
    "Uniform",
    "View",
    "Windows",
]
