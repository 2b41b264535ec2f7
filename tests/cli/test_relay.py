"""What a relay's operator reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.cli.context import Context
from p2pchat.cli.output import Output, qr
from p2pchat.cli.relay import _announce, _turned_away
from p2pchat.config import FaceConfig
from tests.cli.test_output import Stream

LINE = "/ip4/203.0.113.5/tcp/4001/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB#let-me.in"


@pytest.mark.parametrize("terminal", [True, False])
def test_the_line_for_friends_is_also_a_qr_code_on_a_terminal(terminal: bool) -> None:
    out, err = Stream(terminal), Stream(terminal)
    event = {
        "event": "ready",
        "addresses": [LINE.partition("#")[0]],
        "lines": [LINE],
        "public": True,
        "channels": 256 << 20,
    }
    _announce(Context(FaceConfig(Path("x")), Output(False, out, err)), event)
    assert out.getvalue().startswith(f"ready\n{LINE}\n")
    assert f"p2pchat relays add {LINE}" in out.getvalue() + err.getvalue()
    assert "channels of strangers, up to 268 MB" in out.getvalue() + err.getvalue()
    assert "channels_bytes = 0" in out.getvalue() + err.getvalue()
    assert (qr(LINE, False) in out.getvalue()) == terminal


def test_a_relay_that_mirrors_no_channels_says_nothing_of_them() -> None:
    out, err = Stream(False), Stream(False)
    event = {"event": "ready", "addresses": [LINE], "lines": [LINE], "public": True, "channels": 0}
    _announce(Context(FaceConfig(Path("x")), Output(False, out, err)), event)
    assert "channels" not in out.getvalue() + err.getvalue()


def test_what_was_turned_away_is_said_with_its_reasons() -> None:
    assert _turned_away({"too fast": 0, "relay full": 0}) == "0 turned away"
    assert _turned_away({"too fast": 2, "relay full": 1, "bad stamp": 0}) == "3 turned away (too fast 2, relay full 1)"
