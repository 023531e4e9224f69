"""Frozen backbones: one file a family, loaded by name."""

from egofeat.extract.backbones.backbone import Backbone, Spec
from egofeat.extract.backbones.loading import BACKBONES, load, spec_of

__all__ = ["BACKBONES", "Backbone", "Spec", "load", "spec_of"]
