"""Features and predictions as the files that other projects read."""
