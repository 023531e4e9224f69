"""Networks of torchvision."""
