"""Person boxes, and features cut out of stored maps."""
