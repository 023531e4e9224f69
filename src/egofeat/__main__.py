"""`python -m egofeat` is `egofeat`."""

from egofeat.cli import main

if __name__ == "__main__":
    main()
