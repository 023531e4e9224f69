"""Stage one: video to features."""
