"""How often a process looks for garbage."""

import gc


def collect_seldom() -> None:
    """Have Python look for rings of dead objects after 20,000 new ones, not after 700.

    Importing PyTorch leaves 350,000 that stay, and a tenth of the start went into looking at them.
    A picture is such a ring, which is looked for after 100,000: of sixty 100 MB stay at most.
    """
    gc.set_threshold(20_000, 5)
