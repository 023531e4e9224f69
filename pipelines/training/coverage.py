"""How many of a split's segments have features: figures of a part are not the split's."""

from dataclasses import dataclass

from egofeat.store import Rows


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Segments of a split, or key frames, and how many of them have features."""

    split: str
    there: int
    """With features."""
    of_split: int
    """All that the data set has, as the manifest last said."""
    unit: str = "segments"

    @property
    def missing(self) -> int:
        """How many have no features."""
        return self.of_split - self.there

    def __str__(self) -> str:
        if not self.missing:
            return f"{self.there:,} {self.unit} of {self.split}"
        have = "has" if self.missing == 1 else "have"
        return (
            f"{self.there:,} of {self.of_split:,} {self.unit} of {self.split}; {self.missing:,} "
            f"{have} no features"
        )


def coverage(rows: Rows, split: str) -> Coverage:
    """Compare the rows of a split with all that the data set has of it."""
    there, of_split = rows.covered(split)
    return Coverage(split=split, there=there, of_split=of_split, unit=rows.counted)
