"""`python -m p2pchat` and the command `p2pchat`."""

from __future__ import annotations

import sys

from p2pchat.cli.main import main as run


def main() -> None:
    """Run the command line and end with its exit code."""
    sys.exit(run())


if __name__ == "__main__":
    main()
