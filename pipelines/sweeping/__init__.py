"""A study: many heads on many features with many seeds, trained in one process, in one table."""
