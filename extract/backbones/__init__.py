"""Frozen backbones: one file a family, loaded by name."""

from egofeat.extract.backbones.backbone import Backbone, Clip, Spec
from egofeat.extract.backbones.loading import load
from egofeat.extract.backbones.registry import BACKBONES, find_backbone, spec_of

__all__ = ["BACKBONES", "Backbone", "Clip", "Spec", "find_backbone", "load", "spec_of"]
