"""A video with what a trained head sees drawn into it."""
