"""Videos to views, by several threads, each with a stretch of a video at a time."""
