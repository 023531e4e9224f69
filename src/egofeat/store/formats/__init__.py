"""How a shard's arrays stand on disk."""
