"""Inception-v1 inflated: I3D and S3D."""
