"""How `egofeat` and `python -m egofeat` begin."""

import sys


def main() -> None:
    """Run the command line; who interrupts while modules are imported is shown no traceback."""
    try:
        from egofeat.host import limit_threads  # noqa: PLC0415
        from egofeat.host_memory import (  # noqa: PLC0415  # of which `ctypes` is a part
            collect_seldom,
            keep_memory,
        )

        keep_memory()
        collect_seldom()
        limit_threads()
        from egofeat.cli import main as run  # noqa: PLC0415  # takes a moment
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
