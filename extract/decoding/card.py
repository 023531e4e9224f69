"""Threads that decode, on the network's card where that is to decode."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from egofeat.device import current, is_out_of_memory
from egofeat.errors import EgofeatError


@contextmanager
def decoding_on(device: torch.device) -> Iterator[None]:
    """Make a device the one whose decoders this thread uses, as long as one is inside.

    Raises:
        EgofeatError: it has no room left for what it decodes.
    """
    try:
        with current(device):
            yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise EgofeatError(
            f"{device} has no room left for the frames that it decodes: give a smaller "
            "`batch_size` or fewer `workers`, or choose the `decoder` pyav"
        ) from None
