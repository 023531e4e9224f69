"""How full batches of many sizes are, by the order in which views come.

    python bench/fill.py [--sizes 40] [--batch 256] [--views 60000]

Of frames as a GPU is given them, 256 pixels on their shorter side, that come one by one; their
bytes and every bound are made a fiftieth, and memory is plain, so that no GPU is needed.
"""

import random
from argparse import Namespace
from collections.abc import Iterator

import numpy as np
import torch
from ratios import machine, options

from egofeat.device import Room
from egofeat.extract.batches import filling

PIXELS = 256 * 455
SMALL = PIXELS // 50


def even(asked: Namespace, luck: random.Random) -> Iterator[int]:
    """Sizes of views, each as likely as any."""
    return (luck.randrange(asked.sizes) for _ in range(asked.views))


def unlike(asked: Namespace, luck: random.Random) -> Iterator[int]:
    """The n-th size is n times rarer than the first."""
    shares = [1 / (1 + n) for n in range(asked.sizes)]
    yield from luck.choices(range(asked.sizes), shares, k=asked.views)


def films(asked: Namespace, luck: random.Random) -> Iterator[int]:
    """Sixteen threads, each with a film of one size and up to 600 views at a time."""
    sizes, left = [0] * 16, [0] * 16
    for number in luck.choices(range(16), k=asked.views):
        if not left[number]:
            sizes[number], left[number] = luck.randrange(asked.sizes), luck.randint(1, 600)
        left[number] -= 1
        yield sizes[number]


def main() -> None:
    asked = options(__doc__, sizes=40, batch=256, views=60_000)
    for bound in ("WAITING_BYTES", "BLOCK_BYTES"):
        setattr(filling, bound, getattr(filling, bound) * SMALL // PIXELS)
    # Without a GPU there is no memory to copy to one from; how it is taken is the same.
    setattr(torch, "empty", lambda shape, **_: torch.zeros(shape, dtype=torch.uint8))  # noqa: B010
    print(machine())
    for order in (even, unlike, films):
        batches = filling.Filling(Room(torch.device("cpu"), asked.batch), pinned=True)
        made = []
        for number, size in enumerate(order(asked, random.Random(0))):
            high = 10 + size  # as many bytes as any, but another shape
            frame = torch.from_numpy(np.zeros((1, high, SMALL // high, 3), np.uint8))
            made += batches.place((f"{size}", (number,)), [frame])
        made += batches.rest()
        print(f"{order.__name__:8} {asked.views / sum(one.size for one in made):.3f}")


if __name__ == "__main__":
    main()
