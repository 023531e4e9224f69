"""Recipes that stores of before have: their bytes and digests must stay what they are."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from egofeat.boxes import Boxes
from egofeat.errors import StoreError
from egofeat.pipelines.extraction.choices import transform_today
from egofeat.pipelines.extraction.job import plan_job
from egofeat.pipelines.extraction.options import ExtractConfig, RoiConfig
from egofeat.recipe import Recipe
from egofeat.segments import Dataset, Media, Segment

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "recipes.json").read_text())
MADE = [one for one in GOLDEN if "options" in one]


def written(recipe):
    return json.dumps(recipe, sort_keys=True, separators=(",", ":"))


def options(given):
    """An extraction's options from JSON."""
    listed = {name: tuple(of) if isinstance(of, list) else of for name, of in given.items()}
    if "roi" in listed:
        maps = tuple(listed["roi"].get("maps", ()))
        listed["roi"] = RoiConfig(**{**listed["roi"], "maps": maps})
    listed.pop("key_frames", None)
    return ExtractConfig(weights="random:3", device="cpu", **listed)


def dataset(key_frames):
    segments = (Segment("v_0001", "v", 1.0, 2.0, "train"),)
    boxes = {"v_0001": Boxes.of([(0.1, 0.2, 0.5, 0.9)], actions=[(0,)])} if key_frames else {}
    media = {"v": Media(Path("v.mp4"))}
    return Dataset(
        "mine", media, segments, {"action": ("sit",)}, key_frames=key_frames, boxes=boxes
    )


@pytest.mark.parametrize("one", GOLDEN, ids=lambda one: one["digest"][:8])
def test_what_was_written_is_read_and_written_again(one):
    recipe = Recipe.from_dict(one["recipe"])
    assert recipe.to_json() == written(one["recipe"])
    assert recipe.digest == one["digest"]
    assert Recipe.from_dict(json.loads(recipe.to_json())) == recipe


@pytest.mark.parametrize("one", MADE, ids=lambda one: one["digest"][:8])
def test_the_same_options_make_the_same_recipe(one):
    given = one["options"]
    job = plan_job(options(given), dataset(given.get("key_frames", "roi" in given)))
    assert job.recipe.to_json() == written(one["recipe"])
    assert job.recipe.digest == one["digest"]
    assert transform_today(job.backbone, job.recipe.transform) == job.recipe.transform


def damaged(form):
    """A recipe's JSON with each value taken away, of another kind, or with one that is unknown."""
    for key, value in form.items():
        yield {name: of for name, of in form.items() if name != key}
        for odd in (None, [], {}, "x", -1, 2**70, 0.5, float("nan")):
            if odd != value:
                yield {**form, key: odd}
        if isinstance(value, dict):
            yield from ({**form, key: inner} for inner in damaged(value))
    yield {**form, "unknown": 1}


@pytest.mark.parametrize("place", [0, 15, 25, -1])
def test_a_strangers_recipe_is_one_sentence_or_itself(place):
    sentences = []
    for form in damaged(GOLDEN[place]["recipe"]):
        try:
            assert Recipe.from_dict(form).to_dict() == form
        except StoreError as error:
            sentences.append(str(error))
    assert len(sentences) > 100
    for sentence in sentences:
        assert sentence.startswith("the recipe is not one that this egofeat knows (")
        assert "\n" not in sentence


def test_recipes_differ_by_the_names_of_their_fields():
    recipe = Recipe.from_dict(GOLDEN[0]["recipe"])
    other = replace(recipe, weights="random:4", transform=replace(recipe.transform, pool_grid=2))
    assert recipe.differences(recipe) == {}
    assert recipe.differences(other) == {
        "transform.pool_grid": (None, 2),
        "weights": ("random:3", "random:4"),
    }
