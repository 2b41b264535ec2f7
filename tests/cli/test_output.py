"""What is printed: colour only for a person who wants it, columns that align, QR codes that can be read."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
import segno

from p2pchat import errors
from p2pchat.api.remarks import remarks
from p2pchat.cli.output import Output, cell, messages, paint, qr, short_date, width
from tests.cli.node import FILE, MESSAGE
from tests.support.zones import FAR_EAST, in_zone


class Stream(io.StringIO):
    """Text that claims to be a terminal or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def output(monkeypatch: pytest.MonkeyPatch, terminal: bool, as_json: bool = False) -> tuple[Output, Stream, Stream]:
    out, err = Stream(terminal), Stream(terminal)
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setenv("TERM", "xterm")
    return Output.standard(as_json), out, err


@pytest.mark.parametrize(
    ("terminal", "variable", "value", "coloured"),
    [(True, "X", "", True), (False, "X", "", False), (True, "NO_COLOR", "1", False), (True, "TERM", "dumb", False)],
)
def test_colour(monkeypatch: pytest.MonkeyPatch, terminal: bool, variable: str, value: str, coloured: bool) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    made, out, err = output(monkeypatch, terminal)
    monkeypatch.setenv(variable, value)
    made = Output.standard(False)
    made.table([[cell("a", "green")]])
    made.note("b")
    made.error(errors.Locked())
    assert ("\x1b[" in out.getvalue()) == coloured
    assert ("\x1b[" in err.getvalue()) == coloured


def test_an_aside_goes_to_stderr_when_stdout_carries_data(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, as_json, on_stdout in ((True, False, True), (False, False, False), (True, True, False)):
        made, out, err = output(monkeypatch, terminal, as_json)
        made.aside("words")
        assert ("words" in out.getvalue()) == on_stdout
        assert ("words" in err.getvalue()) == (not on_stdout)


def test_columns_align_whatever_is_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    made, out, _ = output(monkeypatch, False)
    made.table([[cell("a"), cell("x")], [cell("你好"), cell("y")], [cell("e\u0301👩"), cell("z")]])
    assert [width(line[:-1]) for line in out.getvalue().splitlines()] == [6, 6, 6]


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("你好", 4), ("e\u0301", 1), ("a\u200cb", 2), ("👍", 2)])
def test_width(text: str, columns: int) -> None:
    assert width(text) == columns


def test_paint_colours_each_line() -> None:
    assert paint("a\n\nb", "red", True) == "\x1b[31ma\x1b[0m\n\n\x1b[31mb\x1b[0m"
    assert paint("a", "", True) == paint("a", "red", False) == "a"


def _own(text: str, state: str) -> dict[str, Any]:
    return {**MESSAGE, "from": "me", "mine": True, "text": text, "state": state, "received_at": None}


def test_what_was_written_earlier_has_the_time_of_its_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    made, out, _ = output(monkeypatch, terminal=False)
    times = {"sent_at": "2026-01-02T12:00:00.000Z", "received_at": "2026-03-04T12:00:00.000Z"}
    messages(made, [{**MESSAGE, **times, "route": "history"}])
    assert "2 January 2026" in out.getvalue()
    messages(made, [{**MESSAGE, **times, "route": "mailbox"}])
    assert "4 March 2026" in out.getvalue()


def test_what_stands_beside_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    made, out, _ = output(monkeypatch, False)
    here = {"from": "me", "text": "are we still\non for tonight, or not? " * 9, "here": True, "deleted": False}
    gone = {"from": None, "text": "", "here": False, "deleted": False}
    said = {"from": None, "text": "what they say", "here": False, "deleted": False}
    thumb = [{"emoji": "👍", "from": "me", "mine": True}, {"emoji": "🎉", "from": "bob", "mine": False}]
    messages(
        made,
        [
            {
                **MESSAGE,
                "text": "yes",
                "quote": here,
                "edited_at": MESSAGE["sent_at"],
                "reactions": thumb,
                "pinned": True,
            },
            {**MESSAGE, "text": "no", "quote": gone, "expires_in": 60},
            {**MESSAGE, "text": "", "quote": said, "deleted": True},
        ],
    )
    first, reactions, second, third = out.getvalue().splitlines()[1:]
    answered = "are we still on for tonight, or not? are we still on for ton"
    assert first == f"03:04    bob  (reply to me: {answered})  (edited)  (pinned)  yes"
    assert reactions.strip() == "👍 me  🎉 bob"
    assert second == "03:04    bob  (reply to a message you do not have)  (disappears once it is read)  no"
    assert third == "03:04    bob  (reply to a message that they quote: what they say)  (deleted)"


def test_a_file_that_is_answered_is_not_missing() -> None:
    quote = {"from": "bob", "text": "", "here": True, "deleted": False, "expires_in": None}
    assert remarks({**MESSAGE, "quote": quote}) == ["(reply to bob: a file)"]
    photo: Mapping[str, Any] = FILE["file"]  # type: ignore[assignment]
    for file, text, words in (
        (photo, "", "picture"),
        (photo, "the\nlake", "picture: the lake"),
        ({**photo, "form": "file", "name": "a\x1b.pdf"}, "", "file a\ufffd.pdf"),
    ):
        answers = {**quote, "text": text, "file": file}
        assert remarks({**MESSAGE, "quote": answers}) == [f"(reply to bob: {words})"]
        assert remarks({**MESSAGE, "quote": {**answers, "deleted": True}}) == ["(reply to bob: deleted)"]
    assert remarks({**MESSAGE, "quote": {**quote, "here": False}}) == ["(reply to a message you do not have)"]


def test_a_log_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    made, out, _ = output(monkeypatch, False)
    messages(
        made,
        [
            {**MESSAGE, "text": "are we on?"},
            _own("yes\nof course", "read"),
            _own("see you", "delivered"),
            {**_own("late", "saved"), "sent_at": "2026-01-03T00:00:00.000Z"},
        ],
    )
    assert out.getvalue().splitlines() == [
        "Friday 2 January 2026",
        "03:04           bob  are we on?",
        "03:04  ✓✓ read  me   yes",
        "                     of course",
        "03:04  ✓✓       me   see you",
        "Saturday 3 January 2026",
        "00:00  ◷        me   late",
    ]


def test_what_was_done_in_a_group_has_no_name_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made, out, _ = output(monkeypatch, False)
    notice = {**MESSAGE, "kind": "group", "from": "anna", "text": "anna removed bob: x\ny."}
    messages(made, [notice, {**MESSAGE, "from": "anna removed bob.", "text": "x"}])
    assert out.getvalue().splitlines()[1:] == [
        f"03:04    {'':17}  anna removed bob: x y.",
        "03:04    anna removed bob.  x",
    ]


def test_a_time_in_a_sentence_of_the_node_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "muted until 2026-12-21T14:05:00.000Z."
    with in_zone(FAR_EAST):
        made, out, err = output(monkeypatch, False)
        messages(made, [{**MESSAGE, "kind": "group", "text": f"anna {said}"}, {**MESSAGE, "text": said}])
        made.error(errors.NotNow(f"You are {said}"))
    assert "anna muted until 22 December 2026, 04:05.\n" in out.getvalue()
    assert out.getvalue().endswith(f"{said}\n"), "what somebody wrote stays as it is"
    assert "You are muted until 22 December 2026, 04:05." in err.getvalue()


@pytest.mark.parametrize("stamp", [None, "", "yesterday", 5, "9999-99-99T00:00:00Z"])
def test_times_that_are_none(stamp: object) -> None:
    assert short_date(stamp) == ""


def test_short_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    assert short_date("2001-02-03T04:05:06.000Z").startswith("2001-02-0")


@pytest.mark.parametrize("colour", [True, False])
def test_the_qr_code_holds_every_dot_and_its_border(colour: bool) -> None:
    text = "P2PCHAT:" + "ABCDEFGH" * 20
    lines = qr(text, colour).split("\n")
    if colour:
        assert all(line.startswith("\x1b[30;107m") and line.endswith("\x1b[0m") for line in lines)
        lines = [line.removeprefix("\x1b[30;107m").removesuffix("\x1b[0m") for line in lines]
    dark = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
    shown: list[list[int]] = []
    for line in lines:
        halves = [dark[char] for char in line]
        if not colour:  # drawn in light
            halves = [(1 - top, 1 - bottom) for top, bottom in halves]
        shown += [[top for top, _ in halves], [bottom for _, bottom in halves]]
    wanted = [[int(bool(dot)) for dot in row] for row in segno.make(text, micro=False).matrix]
    size = len(wanted)
    assert [row[2:-2] for row in shown[2 : 2 + size]] == wanted
    assert not any(any(row) for row in (*shown[:2], *shown[2 + size : 4 + size]))
    assert all(not any(row[:2] + row[-2:]) for row in shown)
