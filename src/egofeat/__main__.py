"""How `egofeat` and `python -m egofeat` begin."""

import _signal  # type: ignore[import-not-found]  # `signal` takes a while to import
import os


def main() -> None:
    """Run the command line; who interrupts while modules are imported is shown no traceback."""
    before = _signal.getsignal(_signal.SIGINT)
    if before is _signal.default_int_handler:
        # At once: what is raised in the middle of an import, modules turn into other errors.
        _signal.signal(_signal.SIGINT, lambda *_: os._exit(130))
    from egofeat.garbage import collect_seldom  # noqa: PLC0415

    collect_seldom()  # before more is imported
    from egofeat.host import limit_threads  # noqa: PLC0415
    from egofeat.host_memory import keep_memory  # noqa: PLC0415  # of which `ctypes` is a part

    keep_memory()
    limit_threads()
    from egofeat.cli import main as run  # noqa: PLC0415  # takes a moment

    if before is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, before)
    run()


if __name__ == "__main__":
    main()
