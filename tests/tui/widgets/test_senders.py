"""The members of a group in its conversation: their labels, their colours, and who is mentioned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pchat.tui.formatting import Span, parts
from p2pchat.tui.model import Author, Mentioned, Message, Quote
from p2pchat.tui.text import width
from p2pchat.tui.widgets.rendering import Block, Look, lay_out
from p2pchat.tui.widgets.senders import COLOURS, Senders, role, with_mentions
from tests.tui.conversing import NOW, message
from tests.tui.hostile import TEXTS
from tests.tui.widgets.test_rendering import after, body, roles, shown

ANNA, BOB, SARA = Author("1f3c" * 4, "anna"), Author("2e4d" * 4, "Bob the builder"), Author("3f5e" * 4, "سارا رضایی")
GROUP = Look(80, "Football", "c1", NOW.date(), group=True, me="me myself")


def by(member: Author, number: int = 0, text: str | None = None) -> Message:
    return message(number, text)._replace(sender=member.name, member=member)


def test_each_member_has_a_colour_that_depends_on_the_id_alone() -> None:
    assert role(ANNA.id) == role(ANNA.id)
    assert {role(f"{number:016x}") for number in range(100)} == {f"name-{number}" for number in range(COLOURS)}


def test_members_are_told_apart_also_from_the_user() -> None:
    senders = Senders()
    senders.begin("me myself")
    assert senders.see([by(ANNA), by(BOB)])
    assert senders.labels == {ANNA.id: "anna", BOB.id: "Bob the builder"}
    assert not senders.see([by(ANNA, 1)]), "nothing new"
    other = Author("9a" * 8, "аnna")
    assert senders.see([by(other), by(Author("7b" * 8, "Me Myself"))])
    assert senders.labels[ANNA.id] == "anna ·1f3c"
    assert senders.labels[other.id] == "аnna ·9a9a"
    assert senders.labels["7b" * 8] == "Me Myself ·7b7b"
    assert senders.see([by(other._replace(name="eve"))]), "they have another name now"
    assert senders.labels[ANNA.id] == "anna"
    senders.begin()
    assert senders.labels == {}


def test_a_message_of_a_group_names_its_author() -> None:
    comfortable = replace(GROUP, compact=False, labels={ANNA.id: "anna ·1f3c"})
    block = lay_out(by(ANNA), None, comfortable)
    assert " ▎ anna ·1f3c  09:00" in shown(block)
    assert roles(block, role(ANNA.id)) == ["▎", "anna ·1f3c", "▎"]
    assert body(lay_out(by(BOB), None, GROUP)) == [" Bob the builder   09:00  message 0"]
    assert "you  09:00" in shown(lay_out(message(0, mine=True), None, comfortable))[2]


def test_two_of_one_name_are_never_one_group() -> None:
    first = by(ANNA)
    twin = after(first, member=Author("9a" * 8, "anna"))
    assert body(lay_out(after(first), first, GROUP))[0] == "                   09:01  message 0"
    assert body(lay_out(twin, first, GROUP))[0].startswith(" anna")


@pytest.mark.parametrize("cells", [12, 40, 80, 120])
@pytest.mark.parametrize("compact", [True, False])
def test_hostile_names_stay_in_their_column(cells: int, compact: bool) -> None:
    look = replace(GROUP, cells=cells, compact=compact)
    for text in (*TEXTS.values(), SARA.name, "n" * 500):
        block = lay_out(by(Author("ab" * 8, text)), None, look)
        assert all(width(row) <= cells for row in shown(block))
        assert not any(char < " " or char == "\x7f" for row in shown(block) for char in row)


def test_a_reply_quotes_a_member_in_their_colour() -> None:
    block = lay_out(
        by(ANNA)._replace(quote=Quote(BOB.name, "who?", True, False, member=BOB)),
        None,
        replace(GROUP, labels={BOB.id: "Bob the builder ·2e4d"}),
    )
    assert roles(block, role(BOB.id)) == ["Bob the build… ·2e4d"]


def spans(text: str, *, mentions_me: bool = False) -> list[tuple[str, str]]:
    [part] = parts(text)
    found = with_mentions(part, {BOB.id: BOB.name}, "me myself", mentions_me=mentions_me)
    return [(part.text[span.start : span.end], span.role) for span in found]


def test_mentions_are_marked_and_those_of_the_user_more() -> None:
    assert spans("@Bob the builder, ask @me myself or @somebody.") == [
        ("@Bob the builder", "mention"),
        ("@me myself", "mention-me"),
        ("@somebody", "mention"),
    ]
    assert spans("hello @all") == [("@all", "mention")]
    assert spans("hello @all", mentions_me=True) == [("@all", "mention-me")]
    assert spans("me myself@home `@bob` https://a.example/@bob") == [
        ("@bob", "code"),
        ("https://a.example/@bob", "link"),
    ]


def test_mentions_are_marked_in_a_group_only() -> None:
    block: Block = lay_out(by(ANNA, text="ask @bob"), None, GROUP)
    assert roles(block, "mention") == ["@bob"]
    assert roles(lay_out(message(0, "ask @bob"), None, replace(GROUP, group=False)), "mention") == []
    assert isinstance(with_mentions(parts("no sign")[0], {}, "", mentions_me=False), tuple | list)
    assert Span(0, 1, "x") in _kept("`@` x")


def _kept(text: str) -> list[Span]:
    """What has a role already keeps it."""
    [part] = parts(text)
    part = part._replace(spans=(Span(0, 1, "x"),))
    return list(with_mentions(part, {}, "", mentions_me=False))


def test_what_was_done_is_a_line_without_an_author() -> None:
    first = by(ANNA)
    added = after(first, kind="group", text="anna added Bob the builder. " * 4)
    for look in (GROUP, replace(GROUP, compact=False)):
        rows = [row for row in shown(lay_out(added, first, look)) if row]
        assert rows[0].startswith(" · anna added Bob the builder. anna added")
        assert rows[1].startswith("   ")
        assert rows[-1].endswith("  09:01")
    assert body(lay_out(after(added, kind="text"), added, GROUP))[0].startswith(" anna"), "a group of its own"
    assert shown(lay_out(added, None, GROUP))[0].strip(" ─") == "Friday 20 November"


def test_digits_stay_where_a_name_is_cut() -> None:
    labelled = Author("9a9a" * 4, "a name that is much too long ·9a9a")
    assert roles(lay_out(by(labelled), None, GROUP), role(labelled.id)) == ["a name th… ·9a9a"]
    pretends = Author("7b7b" * 4, "a name that is much too long ·9a9a")
    assert roles(lay_out(by(pretends), None, GROUP), role(pretends.id)) == ["a name that is…"]


def test_a_mention_by_id_is_of_whom_the_author_means() -> None:
    text = "@anna ·1f3c and @Bob"
    said = (Mentioned("anna ·1f3c", True),)
    spans = with_mentions(parts(text)[0], {}, "Bob", mentions_me=True, by_id=said)
    assert [(text[span.start : span.end], span.role) for span in spans] == [
        ("@anna ·1f3c", "mention-me"),
        ("@Bob", "mention"),
    ]
