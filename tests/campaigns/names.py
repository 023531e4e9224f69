"""Names of the parts, known before torch is imported."""

PARTS = ("kills", "faults", "flips", "texts", "media", "combinations")
