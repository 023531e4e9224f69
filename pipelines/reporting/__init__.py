"""Runs on one page that a browser opens from a file."""
