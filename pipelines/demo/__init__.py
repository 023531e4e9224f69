"""The whole road on clips that are drawn."""
