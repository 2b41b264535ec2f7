"""`python -m p2pchat` and the command `p2pchat`."""

from __future__ import annotations

import os
import sys

import p2pchat.cli.main


def main() -> None:
    """Run the command line and end with its exit code."""
    _open_standard_files()
    sys.exit(p2pchat.cli.main.main())


def _open_standard_files() -> None:
    """Stand in for stdin, stdout or stderr where we were started without: the next file opened would get its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))


if __name__ == "__main__":
    main()
