"""Boxes of persons, and features cut out of kept maps."""
