"""Numbers of things in sentences."""


def counted(number: int, units: str) -> str:
    """A number of things for people: `1 video`, `3,156 videos`.

    Args:
        number: how many.
        units: their name where they are several, that of one with an s.
    """
    return f"{number:,} {units.removesuffix('s') if number == 1 else units}"
