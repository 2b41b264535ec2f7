"""The lines on the API's socket: JSON-RPC 2.0, one object a line (UTF-8, newline at the end).

The server, the clients and the tests share it; it does no I/O. Input is decoded strictly, because any program of the
same user can connect: bounded size and nesting, no duplicate keys, no NaN or
infinity, integers of 64 bits, valid UTF-8, no lone surrogates. Anything else is one error, `BadLine`, which says why.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from p2pchat import errors

API_VERSION = 2
"""The version that `hello` compares. It is raised when the meaning of a method or an event changes, not when something
is added."""

MAX_REQUEST = 1 << 20
"""Bytes of the longest line a client may send; 48,000 bytes of text take at most 288,000, all escaped."""

MAX_REPLY = 64 << 20
"""Bytes of the longest line a client accepts from its own node: a long page of long messages."""

MAX_DEPTH = 16
"""Nesting of arrays and objects in one line."""

JsonObject = dict[str, Any]


class BadLine(errors.UsageError):
    """That line is not a JSON object the API accepts."""


def encode(value: JsonObject) -> bytes:
    """Return one object as the UTF-8 bytes of its line, newline included."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def decode(line: bytes) -> JsonObject:
    """Return the object of one line, without or with its newline. Raises BadLine."""
    value = _decoded(line, _DECODER)
    _check_tree(value, texts=b"\\u" in line)  # a lone surrogate can only be written as an escape
    return value


def decode_answer(line: bytes) -> JsonObject:
    """Return the object of a line that our own node wrote, in half the time of `decode`. Raises BadLine.

    The checks that it leaves out protect the node from other programs, and a list of a thousand chats has 2,000
    objects. It still rejects lone surrogates, which must not reach a terminal.
    """
    return decode(line) if b"\\u" in line else _decoded(line, _ANSWERS)


def _decoded(line: bytes, decoder: json.JSONDecoder) -> JsonObject:
    try:
        value = decoder.decode(line.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise BadLine("The line is not UTF-8") from exc
    except RecursionError as exc:
        raise BadLine("The line is nested too deeply") from exc
    except ValueError as exc:
        raise BadLine(f"The line is not JSON the API accepts: {exc}") from exc
    if not isinstance(value, dict):
        raise BadLine("The line is not a JSON object")
    return value


class Splitter:
    """Splits a stream of bytes into lines, and never holds more than `limit` bytes of an unfinished one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that `data` completes, without their newlines. Raises BadLine at a line that is too long."""
        self._buffer += data
        start = 0
        while (end := self._buffer.find(b"\n", max(start, self._searched))) >= 0:
            if end - start > self._limit:
                raise self._too_long()
            line = bytes(self._buffer[start:end])
            start = self._searched = end + 1
            if line.strip():
                yield line
        del self._buffer[:start]
        self._searched = len(self._buffer)
        if len(self._buffer) > self._limit:
            raise self._too_long()

    def _too_long(self) -> BadLine:
        return BadLine(f"A line has at most {self._limit} bytes")


# --- errors on the wire ---------------------------------------------------------------------------

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603


def error_object(error: errors.P2PChatError, code: int | None = None) -> JsonObject:
    """Return the JSON-RPC error member for one of our errors (JSON-RPC 2.0, section 5.1). code: a number of JSON-RPC's
    own, by default the error's exit code.
    """
    data: JsonObject = {"exit": error.exit_code, "error": type(error).__name__, "hint": error.advice}
    if error.candidates:
        data["candidates"] = list(error.candidates)
    if error.result is not None:
        data["result"] = error.result
    return {"code": -32000 - error.exit_code if code is None else code, "message": error.message, "data": data}


def error_from(member: object) -> errors.P2PChatError:
    """Return the error that `error_object` encoded; an unknown class becomes the nearest known one with its
    exit code.
    """
    member = member if isinstance(member, dict) else {}
    data = member.get("data")
    data = data if isinstance(data, dict) else {}
    message = str(member.get("message") or "The node answered with an error")
    hint = str(data.get("hint") or "")
    candidates = [str(each) for each in data.get("candidates") or []]
    kind = _ERRORS.get(str(data.get("error"))) or _BY_EXIT.get(str(data.get("exit")), errors.NodeError)
    result = data.get("result")
    return kind(message, hint=hint, candidates=candidates, result=result if isinstance(result, dict) else None)


def _tree(kind: type[errors.P2PChatError]) -> Iterator[type[errors.P2PChatError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


_ERRORS = {kind.__name__: kind for kind in _tree(errors.P2PChatError)}
_BY_EXIT: dict[str, type[errors.P2PChatError]] = {
    "2": errors.UsageError,
    "3": errors.NotReached,
    "4": errors.Locked,
    "5": errors.Refused,
}


# --- requests -----------------------------------------------------------------------------------


def request(ident: int, method: str, params: JsonObject) -> bytes:
    """Return the line of a call, for a client. Raises UsageError or TextTooLong if the node could not read it."""
    try:
        line = encode({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})
    except UnicodeEncodeError as exc:
        raise errors.UsageError("That text is not valid UTF-8") from exc
    if len(line) > MAX_REQUEST:
        raise errors.TextTooLong()
    return line


def event_from(message: JsonObject) -> JsonObject:
    """Return the event of a notification: its params, and its name under "event"."""
    params = message.get("params")
    return {"event": message["method"], **(params if isinstance(params, dict) else {})}


def problem_of_request(request: JsonObject) -> str:
    """Return why this object is not a JSON-RPC request, or "" if it is one."""
    if request.get("jsonrpc") != "2.0":
        return 'A request has "jsonrpc": "2.0"'
    if not isinstance(request.get("method"), str):
        return "A request has the name of its method"
    if not isinstance(request.get("params", {}), dict):
        return "Arguments go by name, in an object"
    if "id" in request and usable_id(request["id"]) is None:
        return "The id of a request is a number or a short text"
    return ""


def usable_id(ident: object) -> int | str | None:
    """Return a request's id if it is valid, else None."""
    if isinstance(ident, str) and len(ident) <= 256:
        return ident
    return ident if isinstance(ident, int) and not isinstance(ident, bool) else None


def expects_answer(line: bytes) -> bool:
    """Return whether the server answers this line: it answers everything but a correct notification."""
    try:
        request = decode(line)
    except BadLine:
        return True
    return "id" in request or bool(problem_of_request(request))


# --- strictness -----------------------------------------------------------------------------------


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key appears twice")
    return members


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _integer(digits: str) -> int:
    # The length is checked first: converting a million digits to an int takes quadratic time.
    if len(digits) > 20 or not -(1 << 63) <= (value := int(digits)) < 1 << 63:
        raise ValueError("an integer is out of range")
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number is out of range")
    return value


_ANSWERS = json.JSONDecoder()
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float)


def _check_tree(value: JsonObject, *, texts: bool) -> None:
    """Raise BadLine for deep nesting and, with `texts`, for lone surrogates, which UTF-8 cannot encode. It does not
    recurse.
    """
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for node in level:
            members = node.values() if type(node) is dict else node
            below += [member for member in members if type(member) is dict or type(member) is list]
            if texts:
                for member in (*node, *members):
                    if type(member) is str:
                        _check_text(member)
        if not below:
            return
        level = below
    raise BadLine("The line is nested too deeply")


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise BadLine("A text holds half a character (a lone surrogate)") from exc
