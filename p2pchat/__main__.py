"""`python -m p2pchat` and the command `p2pchat`."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command line and end with its exit code. An interrupt while the program is being loaded, or when it has
    done its work, ends it without a word, as it ends any program.
    """
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    import p2pchat.cli.main

    _open_standard_files()
    try:
        if interruptible:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = p2pchat.cli.main.main()
    except KeyboardInterrupt:
        code = p2pchat.cli.main.INTERRUPTED
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


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
