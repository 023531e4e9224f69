"""What stands beside the shards: labels, gaze, boxes, failures."""
