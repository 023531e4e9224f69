"""Stage two: heads trained on features, and what they are worth."""

CONFIG = "config.yaml"
"""What makes a folder a run; it stands here so that to ask does not import torch."""
