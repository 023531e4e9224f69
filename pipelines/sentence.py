"""What a person is told of an error that the machine is the cause of."""


def sentence_of(error: BaseException) -> str | None:
    """One sentence; None of what is a defect."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    if isinstance(error, (MemoryError, RuntimeError)):
        from egofeat.device import is_out_of_memory  # noqa: PLC0415 - torch is there: it raised this

        if is_out_of_memory(error):
            return (
                "memory is exhausted: process fewer at once (--batch-size, --workers), or choose a "
                "smaller network, head or input"
            )
    return None
