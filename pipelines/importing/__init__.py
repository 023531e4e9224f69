"""Features that other programs made, into a store."""
