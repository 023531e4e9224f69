"""Members of the SlowFast and S3D families that a description makes, in YAML or in Python."""

from egofeat.extract.backbones.variants.descriptions import S3D, SlowFast

__all__ = ["S3D", "SlowFast"]
