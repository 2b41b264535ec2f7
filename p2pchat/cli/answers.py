"""What most verbs do: call one method of the node and print its answer, as JSON or in words."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from p2pchat import errors
from p2pchat.cli.context import Context
from p2pchat.cli.options import opt
from p2pchat.cli.output import Cell

YES = opt("--yes", action="store_true", help="do not ask first")


def say(context: Context, words: str | Callable[[dict[str, Any]], str], method: str, **params: Any) -> int:
    """Call a method, then print the object that it gives, or in words what is so now."""
    with context.client() as client:
        result = client.call(method, **params)
    if context.out.json:
        context.out.object(result)
    else:
        context.out.line(words if isinstance(words, str) else words(result))
    return 0


def show(
    context: Context,
    row: Callable[[dict[str, Any]], Sequence[Cell]],
    none: str,
    method: str,
    only: str | None = None,
    **params: Any,
) -> list[dict[str, Any]]:
    """Call a method, then print the resulting objects, each as a row of a table, and return them. `none`: printed if
    there are none. `only`: a field that has to be true of those printed.
    """
    with context.client() as client:
        answer: list[dict[str, Any]] = client.call(method, **params)
    found = [each for each in answer if only is None or each[only]]
    if context.out.json:
        for each in found:
            context.out.object(each)
        return found
    if not found and none:
        context.out.note(none)
    context.out.table([row(each) for each in found])
    return found


def confirm(context: Context, question: str, *, sure: bool) -> bool:
    """Ask for confirmation on the terminal; without a terminal, `sure` is required. Return the answer. Raises
    UsageError.
    """
    if sure:
        return True
    if not sys.stdin.isatty():
        raise errors.UsageError("Nobody is there to be asked", hint="Say --yes if you are sure.")
    context.out.note(f"{question} [y/N]")
    return sys.stdin.readline().strip().casefold() in ("y", "yes")
