"""Rows of features read from shards."""
