"""Long videos in dense windows, made in pieces of some minutes that are joined at the end."""
