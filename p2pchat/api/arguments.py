"""Checking the arguments of a call against the table of methods, and completing them with defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from p2pchat import errors
from p2pchat.api import methods
from p2pchat.api.table.shape import REQUIRED, Param


class UnknownMethod(errors.UsageError):
    """The API has no method of that name."""

    hint = "docs/api.md lists them."


class BadParams(errors.UsageError):
    """The arguments do not fit the method."""

    hint = "docs/api.md has the table."


def check(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for the method `name`, complete with defaults. Raises UnknownMethod or BadParams."""
    method = methods.BY_NAME.get(name)
    if method is None:
        raise UnknownMethod(f"There is no method {_quote(name)}")
    names = {param.name for param in method.params}
    for given in params:
        if given not in names:
            raise BadParams(f"{name} takes no {_quote(given)}")
    arguments: dict[str, Any] = {}
    for param in method.params:
        if param.name in params:
            arguments[param.name] = _checked(name, param, params[param.name])
        elif param.default is REQUIRED:
            raise BadParams(f"{name} needs {_quote(param.name)}")
        else:
            arguments[param.name] = param.default
    return arguments


def _checked(method: str, param: Param, value: object) -> object:
    if value is None and param.optional:
        return None
    if not _fits(param.kind, value):
        raise BadParams(f"{_quote(param.name)} of {method} must be {_KINDS[param.kind]}")
    if param.choices and value not in param.choices:
        raise BadParams(f"{_quote(param.name)} of {method} must be one of {', '.join(param.choices)}")
    return value


def _fits(kind: str, value: object) -> bool:
    if kind == "text":
        return isinstance(value, str)
    if kind == "flag":
        return isinstance(value, bool)
    if kind == "integer":  # a bool is an int in Python, and no argument may be negative
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_KINDS: Final = {
    "text": "a text",
    "flag": "true or false",
    "integer": "an integer, not negative",
    "number": "a number, not negative",
    "texts": "a list of texts",
}


def _quote(name: str) -> str:
    # A client's text appears in errors and logs: shortened, and without anything that a terminal interprets.
    shown = name if name.isprintable() else ascii(name)[1:-1]
    return f"`{shown[:40]}`"
