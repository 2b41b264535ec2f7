"""The list of channels that an operator refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.core.ids import ChannelId
from p2pchat.errors import UsageError
from p2pchat.relay.refused_channels import RefusedChannels, parse_id

ONE, TWO, THREE = (ChannelId(bytes([number]) * 32) for number in (1, 2, 3))


def test_a_list_is_read_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "refused-channels"
    relays, verbs = RefusedChannels(path, [THREE]), RefusedChannels(path)
    assert relays.read() == frozenset({THREE})
    assert relays.read() is None
    assert verbs.change(ONE, "reported\nby somebody")
    assert not verbs.change(ONE, "again")
    assert verbs.change(TWO, "")
    assert relays.read() == frozenset({ONE, TWO, THREE})
    assert verbs.listed() == {ONE: "reported by somebody", TWO: ""}
    assert verbs.change(ONE, None)
    assert not verbs.change(ONE, None)
    assert relays.read() == frozenset({TWO, THREE})
    relays.beside = ()
    assert relays.read() == frozenset({TWO})
    relays.read_again()
    assert relays.read() == frozenset({TWO})


def test_an_unreadable_line_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "refused-channels"
    path.write_text(f"# a remark\n\nnonsense\n{ONE.hex()[:-2]}\n{TWO.hex().upper()} why\n")
    assert RefusedChannels(path).listed() == {TWO: "why"}


@pytest.mark.parametrize("text", ["", "zz", "11" * 31, "11" * 33])
def test_an_id_is_64_digits(text: str) -> None:
    with pytest.raises(UsageError, match="64"):
        parse_id(text)
