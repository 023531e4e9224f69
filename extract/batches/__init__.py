"""Batches of views: filled by the decoding threads, run through the network."""
