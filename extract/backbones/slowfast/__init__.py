"""SlowFast, SlowOnly and their designs."""
