"""Two people in two terminals keep order and find things again, one with the mouse alone, one with keys alone. Between
their steps the verbs tell of both the same.

Only texts are typed by both: messages, names, words to look for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from p2pchat.tui.commands import BY_NAME
from tests.support.processes import Place, place
from tests.support.steps import befriended, fine, make, start, until
from tests.support.terminal import Terminal, program, terminal

LINES = 40
LAMPS = (5, 20, 33)
"""Lines with a lamp in them, all above those that are on the screen at first."""
ANSWERED = 2
BAR = "\N{LEFT ONE QUARTER BLOCK}"
"""Before each row of a message."""


@dataclass
class Person:
    """Somebody at a screen, and the friend they write to."""

    here: Place
    name: str
    friend: str
    screen: Terminal
    alias: str

    def verb(self, *words: str) -> Any:
        """What a verb prints for this person."""
        return fine(self.here.run(self.name, *words, "--json"))

    def chat(self, name: str) -> dict[str, Any]:
        """A row of `chats`."""
        return next(row for row in self.verb("chats") if row["name"] == name)

    def say(self, text: str) -> None:
        """Type a line, and send it by the means of this person; it has gone from where it was written."""
        self.screen.type(text)
        self.screen.wait(text)
        self.send()
        self.screen.wait("› write a")

    def send(self) -> None:
        raise NotImplementedError

    def run(self, command: str) -> None:
        """Run a command by the means of this person."""
        raise NotImplementedError

    def chosen(self, text: str) -> None:
        """Wait until the message with this text is the selected one."""
        marked = re.compile(f"\N{LEFT HALF BLOCK}.*{text}")
        self.screen.until(lambda shown: marked.search(shown) is not None, f"{text!r}, selected")

    def arrived(self, text: str) -> None:
        """Wait until the screen shows that the other one has this; what is asked before it is deleted depends on it."""
        there = re.compile(f"{text} .*✓✓")
        self.screen.until(lambda shown: there.search(shown) is not None, f"{text!r} to arrive")

    def told(self, **fields: object) -> None:
        """Wait until the verb says so of the chat with the friend."""
        until(lambda: fields.items() <= self.chat(self.friend).items())

    def noted(self, note: str) -> dict[str, Any]:
        """Wait until the verb has this note; the contact."""
        until(lambda: note in [row["note"] for row in self.verb("contacts")])
        return next(row for row in self.verb("contacts") if row["note"] == note)


class Mouse(Person):
    """The one who has no keys but letters."""

    def say(self, text: str) -> None:
        if "› write a" in self.screen.text():
            self.screen.click("write a")
        super().say(text)

    def send(self) -> None:
        self.screen.click("Enter send")

    def run(self, command: str) -> None:
        """Choose it in the palette, which the mouse opens too."""
        self.screen.click("Ctrl+P")
        self.screen.wait("Go to a chat")
        self.screen.type(f"/{command}")
        only = re.compile(rf"╯[^\n]*\n[^\n]*\n[^\n]* /{command} +{re.escape(BY_NAME[command].says[:16])}")
        self.screen.until(lambda shown: only.search(shown) is not None, f"/{command} to be the first of the list")
        self.screen.click(BY_NAME[command].says[:16], last=True)

    def back(self, shown: str) -> None:
        """Leave the page that shows this; what lies behind it can be seen, and is clicked when it is gone."""
        self.screen.click("Esc back")
        self.screen.gone(shown)

    def menu(self, text: str, way: str) -> None:
        """Choose in the menu of a message."""
        self.screen.click(text, button=3, last=True)
        self.screen.wait("This message")
        self.screen.click(way)


class Keys(Person):
    """The one who has no mouse."""

    def send(self) -> None:
        self.screen.press("enter")

    def run(self, command: str) -> None:
        self.say(f"/{command}")

    def pick(self, newest: str, *keys: str) -> None:
        """Select the newest message, and press keys on it."""
        self.screen.press("ctrl+up")
        self.chosen(newest)
        self.screen.press(*keys)

    def escape(self, shown: str) -> None:
        """Press Esc, and wait until this is gone: what follows at once would be a key with Alt."""
        self.screen.press("esc")
        self.screen.gone(shown)

    def list_chats(self, *keys: str) -> None:
        """Go to the list of chats, and press keys in it."""
        self.screen.press("f2")
        self.screen.wait("p2pchat  boris")
        self.screen.press(*keys)


@pytest.fixture
def people() -> Iterator[tuple[Mouse, Keys]]:
    """Two who have written to each other what neither has read yet, and a third one who joins later."""
    with place() as here, ExitStack() as stack:
        make(here, "anna", "boris", "carol")
        start(here, "anna", "boris", "carol")
        befriended(here, "anna", "boris")
        written(here, "anna", "boris")
        written(here, "boris", "anna")
        people = []
        for kind, name, friend, where, columns, rows in (
            (Mouse, "anna", "boris", "tmux", 116, 32),  # which keeps some of the clicks to itself
            (Keys, "boris", "anna", "pty", 80, 24),
        ):
            screen = stack.enter_context(terminal(here, program(here, name), where, columns=columns, rows=rows))
            people.append(kind(here, name, friend, screen, f"{friend} B"))
        mouse, keys = people
        assert isinstance(mouse, Mouse)
        assert isinstance(keys, Keys)
        yield mouse, keys


def written(here: Place, writer: str, reader: str) -> None:
    """Many lines of one to the other, the last of which answers one of the first, all delivered."""
    texts = [f"{writer} line {number}." + " A lamp" * (number in LAMPS) for number in range(LINES - 1)]
    calls = [call(number, chat=reader, text=text) for number, text in enumerate(texts)]
    said = {each["id"]: each["result"] for each in fine(here.run(writer, "rpc", stdin="".join(calls)))}
    last = f"{writer} line {LINES - 1}."
    fine(here.run(writer, "reply", said[ANSWERED]["id"], last, "--wait", "delivered", "--json"))


def call(number: int, **params: str) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "send", "params": params}) + "\n"


@pytest.mark.tmux
def test_all_of_it_by_mouse_by_keys_and_the_verbs_agree(people: tuple[Mouse, Keys]) -> None:
    anna, boris = people
    for steps in (unread, conversation, invites, order, contact, notes_and_forgetting, finding):
        steps(anna, boris)


# --- what was said, and about it


def unread(anna: Mouse, boris: Keys) -> None:
    """The first message that nobody has seen yet is below the screen; where that is, the node knows."""
    for person in (anna, boris):
        person.screen.wait(f"{person.friend} line", f"{LINES} new")
        lines = re.findall(rf"{BAR} {person.friend} line (\d+)\.", person.screen.text())
        shown = max(map(int, lines))
        person.told(unread=LINES - 1 - shown)
        if person is anna:
            person.run("unread")
        else:
            person.screen.press("alt+u")
        person.chosen(rf"{person.friend} line {shown + 1}\.")
    anna.screen.click("Esc back")
    anna.screen.click("newest")
    boris.escape("Esc back")
    boris.screen.press("ctrl+end")
    for person in (anna, boris):
        person.screen.wait(f"boris line {LINES - 1}.")
        person.told(unread=0)


def conversation(anna: Mouse, boris: Keys) -> None:
    """Answer, correct, react, pin, delete for both, let disappear."""
    anna.screen.click(f"{BAR} boris line 38.")
    anna.screen.click("r reply")
    anna.screen.wait("reply to boris")
    anna.say("an answer of anna")
    anna.screen.wait(f"{BAR} an answer of anna")
    anna.screen.click(f"{BAR} boris line 38.")
    anna.screen.click("+ react")
    anna.screen.click("1 \N{THUMBS UP SIGN}")
    anna.screen.wait("\N{THUMBS UP SIGN} 1")
    anna.menu("an answer of anna", "e      edit")
    anna.screen.wait("› an answer of anna")
    anna.say(", put right")
    anna.screen.wait("put right", "edited")
    anna.menu("put right", "p      pin")
    anna.screen.wait("pinned")
    anna.say("a slip of anna")
    anna.arrived("a slip of anna")
    anna.menu("a slip of anna", "d      delete")
    anna.screen.click("Delete it for both")
    anna.screen.wait("you deleted this for both")
    anna.say("/timer 1d")
    boris.screen.wait("put right", "edited", "deleted by its sender", "disappearing: 1 day")

    boris.say("an answer of boris")
    boris.screen.wait(f"{BAR} an answer of boris")
    boris.pick("an answer of boris", "e")
    boris.screen.wait("› an answer of boris")
    boris.say(", put right")
    boris.screen.wait("put right", "edited")
    boris.pick("an answer of boris, put right", "p")
    boris.screen.wait("pinned edited")
    boris.escape("Esc back")
    boris.say("a slip of boris")
    boris.arrived("a slip of boris")
    boris.pick("a slip of boris", "d")
    boris.screen.wait("Delete this message?")
    boris.screen.press("b")
    boris.screen.wait("you deleted this for both")
    boris.escape("Esc back")
    boris.say("/timer off")
    for person in (anna, boris):
        person.told(timer=None)
        said = {row["text"]: row for row in person.verb("log", person.friend, "--limit", "8")}
        for name in ("anna", "boris"):
            row = said[f"an answer of {name}, put right"]
            assert (row["edited_at"] is not None, row["pinned"]) == (True, True)
        assert said["an answer of anna, put right"]["quote"]["text"] == "boris line 38."
        assert sum(row["deleted"] for row in said.values()) == 1  # both have no text, so one of them is here
        (row,) = (row for row in person.verb("log", person.friend, "--limit", "12") if row["reactions"])
        assert (row["text"], row["reactions"][0]["emoji"]) == ("boris line 38.", "\N{THUMBS UP SIGN}")
        assert {row["text"] for row in person.verb("pinned", person.friend)} == {
            f"an answer of {name}, put right" for name in ("anna", "boris")
        }


# --- contacts and chats


def invites(anna: Mouse, boris: Keys) -> None:
    """Somebody joins: the page of the invite says so, or the screen wherever one is. Another invite is ended."""
    here = anna.here
    anna.screen.click("^N invite")
    anna.screen.wait("P2PCHAT:")
    anna.screen.click("c copy")
    anna.screen.wait("Copied")
    assert here.run("carol", "add", anna.screen.clipboard(), "--wait", "accepted", "--json").code == 0
    anna.screen.wait("carol has used it and is your contact now")
    anna.screen.click("open the chat")
    anna.screen.wait("Say hello to carol")
    anna.screen.click("^N invite")
    anna.screen.click("r for many people")
    anna.screen.wait("r for one person")
    anna.back("r for one person")
    anna.run("invites")
    anna.screen.click("used     for one   carol")
    anna.screen.wait("Used once: carol.")
    anna.screen.click("open     for many")
    anna.screen.click("d revoke it")
    anna.screen.click("Revoke it", beside="Cancel")
    anna.screen.wait("revoked")
    anna.back("revoked")

    boris.screen.press("ctrl+n")
    boris.screen.wait("P2PCHAT:")
    boris.screen.press("c")
    boris.screen.wait("Copied")
    boris.escape("P2PCHAT:")
    assert here.run("carol", "add", boris.screen.clipboard(), "--wait", "accepted", "--json").code == 0
    boris.screen.wait("carol has joined by your invite")
    boris.screen.press("ctrl+n")
    boris.screen.wait("P2PCHAT:")
    boris.screen.type("r")
    boris.screen.wait("r for one person")
    boris.escape("P2PCHAT:")
    boris.run("invites")
    boris.screen.wait("for many", "d revoke it")  # the newest is the first
    boris.screen.type("d")
    boris.screen.wait("Sure?")
    boris.screen.type("y")
    boris.screen.wait("revoked")
    boris.escape("revoked")
    for person in (anna, boris):
        rows = {
            (row["kind"], row["state"], *(user["name"] for user in row["used_by"])) for row in person.verb("invites")
        }
        assert {("one-time", "used", "carol"), ("reusable", "revoked")} <= rows


def order(anna: Mouse, boris: Keys) -> None:
    """One chat above the others, one muted, one put away."""
    anna.run("archive")  # the chat with carol is the one on the screen
    anna.screen.wait("\N{BLACK RIGHT-POINTING SMALL TRIANGLE} Archived (1)")
    anna.screen.click("\N{BLACK CIRCLE} boris")
    anna.screen.until(lambda shown: "carol" not in shown.split("Archived")[0], "carol to be gone")
    anna.run("pin")
    anna.screen.wait("boris \N{UPWARDS ARROW}")
    anna.run("mute")
    anna.screen.wait("boris \N{UPWARDS ARROW} ~")

    boris.say("/chat carol")
    boris.screen.wait("Say hello to carol")
    boris.list_chats("a")
    boris.screen.wait("\N{BLACK RIGHT-POINTING SMALL TRIANGLE} Archived (1)")
    boris.screen.press("home", "enter")
    boris.screen.wait("anna  not verified")
    boris.list_chats("p")
    boris.screen.wait("anna \N{UPWARDS ARROW}")
    boris.screen.type("m")
    boris.screen.wait("anna \N{UPWARDS ARROW} ~")
    boris.screen.press("end", "enter")
    boris.screen.wait("\N{BLACK DOWN-POINTING SMALL TRIANGLE} Archived (1)", "2 \N{BLACK CIRCLE} carol")
    boris.screen.press("enter")
    boris.escape("Archived (1)")
    for person in (anna, boris):
        chat = person.chat(person.friend)
        assert (chat["pinned"], chat["muted_until"] is None, chat["archived"]) == (True, False, False)
        assert [row["name"] for row in person.verb("chats", "--archived")] == ["carol"]


def contact(anna: Mouse, boris: Keys) -> None:
    """Block and unblock on the page of a contact, another name, a note."""
    anna.screen.click("not verified")
    anna.screen.click("b block")
    anna.screen.click("Block", beside="Cancel")
    anna.screen.wait("Blocked.")
    assert anna.verb("contacts")[0]["state"] == "blocked"
    anna.screen.click("u unblock", last=True)
    anna.screen.wait("Unblocked.")
    anna.screen.click("r rename")
    anna.screen.wait("Enter save")
    anna.screen.type(anna.alias)
    anna.screen.wait(f"\N{BOX DRAWINGS LIGHT VERTICAL} {anna.alias}")
    anna.screen.click("Enter save")
    anna.screen.wait("\N{BOX DRAWINGS LIGHT HORIZONTAL} boris B", "b block")
    anna.back("b block")
    anna.say("/note met in Lund")

    boris.screen.press("ctrl+y")
    boris.screen.wait("b block")
    boris.screen.type("b")
    boris.screen.wait("Block anna?")
    boris.screen.type("y")
    boris.screen.wait("Blocked.")
    assert next(row for row in boris.verb("contacts") if row["name"] == "anna")["state"] == "blocked"
    boris.screen.type("u")
    boris.screen.wait("Unblocked.")
    boris.screen.type("r")
    boris.screen.wait("Enter save")
    boris.screen.type(boris.alias)
    boris.screen.press("enter")
    boris.screen.wait("\N{BOX DRAWINGS LIGHT HORIZONTAL} anna B", "b block")
    boris.escape("b block")
    boris.say("/note met in Lund")
    for person in (anna, boris):
        row = person.noted("met in Lund")
        assert (row["name"], row["state"]) == (person.alias, "contact")


def notes_and_forgetting(anna: Mouse, boris: Keys) -> None:
    """A note to oneself; a contact goes with what was said, or without."""
    for person in (anna, boris):
        assert person.here.run("carol", "send", person.name, "hello from carol", "--wait", "delivered").code == 0
        person.run("notes")
        person.screen.wait("only you")
        person.say("remember the lamp")
        person.screen.wait(f"{BAR} remember the lamp")
        person.screen.gone("read \N{CHECK MARK}")  # nobody else reads it
    anna.screen.click("Archived (1)")
    anna.screen.click("\N{BLACK CIRCLE} carol")
    anna.screen.wait("hello from carol")
    anna.run("forget")
    anna.screen.click("Forget", beside="Cancel")
    anna.screen.click("Delete it", beside="Keep it")
    anna.screen.wait("carol is forgotten")

    boris.say("/chat carol")
    boris.screen.wait("hello from carol")
    boris.list_chats("d")
    boris.screen.wait("Forget carol?")
    boris.screen.type("y")
    boris.screen.wait("Delete the chat with carol too?")
    boris.screen.type("n")
    boris.screen.wait("carol is forgotten")
    for person, left in ((anna, []), (boris, ["hello from carol"])):
        assert [row["name"] for row in person.verb("contacts")] == [person.alias]
        assert [row["text"] for row in person.verb("log", "notes")] == ["remember the lamp"]
        chats = [row["id"] for row in person.verb("chats") if row["name"] == "carol"]
        assert [row["text"] for chat in chats for row in person.verb("log", chat)] == left


# --- finding


def finding(anna: Mouse, boris: Keys) -> None:
    """Search, from hit to hit and back, everywhere with a filter; to the quoted one, a date, a chat by its name."""
    anna.screen.click("\N{BLACK CIRCLE} boris B")
    anna.screen.wait("boris B  not verified")
    anna.screen.click("^F find")
    anna.screen.wait("Search in the chat")
    anna.screen.type("lamp")
    anna.screen.wait("found, newest first")
    anna.screen.click("boris line 20. A", last=True)
    anna.chosen(r"boris line 20\.")
    anna.screen.click("older hit")
    anna.chosen(r"boris line 5\.")
    anna.screen.click("newer hit")
    anna.chosen(r"boris line 20\.")
    anna.screen.click("jump back")
    anna.run("everywhere")
    anna.screen.wait("Search in all chats")
    anna.screen.type("from:me has:link lamp")
    anna.screen.wait("Nothing found")
    anna.back("Nothing found")
    anna.run("everywhere")
    anna.screen.wait("Search in all chats")
    anna.screen.type("from:me remember la")
    anna.screen.click("remember the lamp", last=True)
    anna.screen.wait("only you")
    anna.chosen("remember the lamp")
    anna.screen.click("jump back")
    anna.screen.wait("boris B  not verified")

    anna.screen.click(f"boris line {LINES - 1}.", last=True)
    anna.screen.click("g go to quoted")
    anna.chosen(rf"boris line {ANSWERED}\.")
    anna.screen.click("write a")
    when, first = a_date(anna, 11)
    anna.say(f"/jump {when}")
    anna.chosen(first)

    boris.screen.press("ctrl+p")
    boris.screen.wait("Go to a chat")
    boris.screen.type("anna B")
    boris.screen.press("enter")
    boris.screen.wait("anna B  not verified")
    boris.screen.press("ctrl+f")
    boris.screen.wait("Search in the chat")
    boris.screen.type("lamp")
    boris.screen.wait("found, newest first")
    boris.screen.press("enter")
    for key, line in (("", "boris line 33"), ("n", "boris line 20"), ("N", "boris line 33")):
        boris.screen.type(key)
        boris.chosen(rf"{line}\.")
    boris.screen.type("b")
    boris.screen.press("alt+s")
    boris.screen.wait("Search in all chats")
    boris.screen.type("from:me remember la")
    boris.screen.wait("1 found")
    boris.screen.press("enter")
    boris.chosen("remember the lamp")
    boris.screen.type("b")
    boris.screen.wait("anna B  not verified")
    boris.screen.press("esc")
    boris.screen.gone("Esc back")
    when, first = a_date(boris, LINES - 1)
    boris.say(f"/jump {when}")
    boris.chosen(first)  # of several that came in this second
    boris.escape("Esc back")
    boris.screen.press("ctrl+f")
    boris.screen.wait("Search in the chat")
    boris.screen.type(f"anna line {LINES - 1}")
    boris.screen.wait("1 found")
    boris.screen.press("enter")
    boris.chosen(rf"anna line {LINES - 1}\.")
    boris.screen.type("g")
    boris.chosen(rf"anna line {ANSWERED}\.")
    for person in (anna, boris):
        found = [row["text"] for row in person.verb("search", "lamp from:me", "--limit", "3")]
        assert found == [*(f"{person.name} line {number}. A lamp" for number in LAMPS[1:]), "remember the lamp"]


def a_date(person: Person, line: int) -> tuple[str, str]:
    """When a line of the friend came, and how the first message from then on begins, as the verbs have it."""
    rows = person.verb("log", person.alias, "--limit", "200")
    at = next(row["received_at"] for row in rows if row["text"].startswith(f"{person.friend} line {line}."))
    return at, re.escape(person.verb("log", person.alias, "--since", at)[0]["text"])
