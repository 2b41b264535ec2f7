"""A walk through the whole program, screen by screen, with a hostile text on each: see `test_hostile`.

Each step waits until the text is where others could have put it, so that what is not shown does not pass for harmless.
"""

from __future__ import annotations

import re

from tests.support.terminal import Terminal
from tests.tui.fake_files import photo
from tests.tui.fake_groups import member
from tests.tui.fakes import INVITE
from tests.tui.hostile import SEEN, HostileNode
from tests.tui.served import Service

_REFUSAL = "│   Refused:"
"""In a panel; the same may stand in a corner still."""
_FIELD = "│   │ "
"""Where one writes in a panel."""


def first_run(shown: Terminal, hostile: str) -> None:
    """The system has a hostile name for the person, and no profile can be made in a folder that is called so."""
    shown.wait("Your name", SEEN)
    shown.press("enter")
    shown.wait("Enter for none")
    shown.press("enter")
    _reads(shown, f"{SEEN} cannot be used")
    shown.press("esc")
    shown.wait("Your name")
    _fill(shown, hostile)
    shown.press("enter")
    shown.wait("Enter for none")
    shown.paste(pasted(hostile))
    shown.wait("•")
    shown.press("esc")
    shown.wait("Your name")
    shown.press("esc")


def everywhere(shown: Terminal, service: Service, node: HostileNode) -> None:
    """From the passphrase to the last question."""
    _unlock(shown, node)
    bob = service.do(node.meet)
    shown.wait("bob", SEEN)
    _news(shown, service, node, bob)
    _refused(shown, node)
    _people(shown, node)
    _invites(shown, node)
    _relays(shown, node)
    _network(shown, node)
    _messages(shown)
    _files(shown, service, node, bob)
    _remarks(shown, service, node, bob)
    _groups(shown, service, node)
    _commands(shown)
    shown.press("ctrl+q")
    shown.wait("Keep receiving messages")
    shown.press("enter")


def pasted(text: str) -> str:
    """A clipboard with the text in it. No terminal lets what is pasted end its own paste."""
    return f"{SEEN}{text}{SEEN}".replace("\x1b[201~", "")


def _unlock(shown: Terminal, node: HostileNode) -> None:
    node.fail["unlock"] = node.warned
    shown.wait("Locked")
    shown.paste(pasted(node.hostile))
    shown.wait("•")
    shown.press("enter")
    shown.wait(_REFUSAL, SEEN)
    shown.press("ctrl+u")
    shown.gone("•")
    shown.type("right")
    shown.press("enter")
    shown.wait("You have no contacts yet")


def _news(shown: Terminal, service: Service, node: HostileNode, bob: str) -> None:
    """What comes while one looks, all of it said in a corner too; then while nobody looks."""
    service.do(lambda: node.says(bob, node.hostile))
    service.do(lambda: node.warns("careful"))
    shown.wait("careful", SEEN)
    service.do(lambda: node.knocks("mallory"))
    shown.wait("mallory")
    shown.focus(False)
    service.do(lambda: node.says(bob, "you there?"))
    shown.press("ctrl+end")
    shown.wait("you there?")
    shown.focus(True)


def _refused(shown: Terminal, node: HostileNode) -> None:
    """A text comes back with the reason."""
    node.fail["send"] = node.warned
    _clear(shown)
    shown.type("refuse this")
    shown.press("enter")
    shown.wait("Refused:")
    shown.press("ctrl+c")
    shown.gone("refuse this")


def _people(shown: Terminal, node: HostileNode) -> None:
    """Contact requests, the page of a contact, and the questions about both."""
    node.fail["accept"] = node.warned
    shown.press("ctrl+r")
    shown.wait("Contact requests")
    _reads(shown, f"Is it really mallory {SEEN}")
    shown.type("a")
    shown.wait(_REFUSAL)
    _questions(shown, d="Decline mallory", b="Block mallory")
    _back(shown)
    node.fail["rename"] = node.warned
    shown.press("ctrl+y")
    shown.wait("anchor", f"─ bob {SEEN}")
    _reads(shown, f"Call bob {SEEN}")
    _questions(shown, m="Did you and bob", b="Block bob")
    shown.type("r")
    shown.wait("Enter save")
    shown.press("home")
    shown.wait(f"{_FIELD}bob {SEEN}")
    shown.press("ctrl+k")
    shown.gone(f"{_FIELD}bob {SEEN}")
    _fill(shown, node.hostile)
    shown.press("enter")
    shown.wait(_REFUSAL)
    shown.press("esc")
    shown.wait("r rename")
    _back(shown)


def _invites(shown: Terminal, node: HostileNode) -> None:
    """One that is made, with its code, and one that is taken."""
    shown.press("ctrl+n")
    shown.wait("P2PCHAT:", "c copy")
    shown.type("q")
    shown.wait("Esc back")
    shown.gone("c copy")
    shown.press("esc")
    shown.wait("c copy")
    node.fail["invite"] = node.warned
    shown.type("r")
    shown.wait(_REFUSAL)
    _back(shown)
    node.makes("for bob", users=[("00" * 16, "bob")])
    shown.type("/invites")
    shown.press("enter")
    shown.wait("open", "d revoke it")
    _reads(shown, f"Used once: bob {SEEN}")
    _questions(shown, d="Revoke the invite for bob")
    _back(shown)
    shown.press("ctrl+o")
    shown.wait("your friend sent you")
    shown.paste(pasted(node.hostile))
    shown.wait("This is not an invite")
    shown.paste(f"P2PCHAT:{pasted(node.hostile)}")
    words = ("An invite cannot contain", "the rest is missing", "too long for an invite")
    shown.until(lambda text: any(word in text for word in words), "a word about the invite")
    _back(shown)
    node.fail["add"] = node.warned
    shown.type(f"/add {INVITE}")
    shown.press("enter")
    shown.wait("Enter ask them")
    _fill(shown, node.hostile)
    shown.press("enter")
    shown.wait(_REFUSAL, "Enter continue")
    shown.press("enter")
    shown.wait("Enter ask them")
    shown.press("enter")
    shown.wait("have not accepted it yet", "Enter open the chat")
    shown.press("enter")
    shown.gone("╭─ ")
    shown.wait("What you write waits here")
    shown.press("alt+2")
    shown.wait("you there?")
    _clear(shown)


def _relays(shown: Terminal, node: HostileNode) -> None:
    """One that is refused, one that is taken and has something to say, and whether to leave it."""
    node.fail["relays"] = node.warned
    shown.type("/relays")
    shown.press("enter")
    shown.wait("The line of a relay", _REFUSAL)
    _fill(shown, node.hostile)
    shown.press("ctrl+k")
    shown.gone(f"{_FIELD}{SEEN}")
    node.lends("/ip4/192.0.2.1/tcp/1/p2p/a", "unreachable", "no", "bob")
    shown.paste("/ip4/192.0.2.2/tcp/1/p2p/b\n")
    shown.press("enter")
    shown.wait("is now used", f"192.0.2.1:1  run by bob {SEEN}", "a add one")
    shown.type("d")
    shown.wait("Stop using the relay at 192.0.2.1:1?")
    shown.press("esc")
    _back(shown)


def _network(shown: Terminal, node: HostileNode) -> None:
    """Names and reasons of others in the rows of the network, and in what to try."""
    node.says_of_network("contacts", "contact", "bad", "bob: no link")
    node.network_next = ["Add a relay"]
    shown.press("f4")
    shown.wait("Not everything works", "→ Add a relay", "✗ bob: no link")  # the rest is on lines of its own
    _back(shown)


def _messages(shown: Terminal) -> None:
    """What is found, where a message is, what is asked before it is deleted, and what is copied."""
    shown.press("ctrl+f")
    shown.wait("Esc back", f"Search in the chat with bob {SEEN}")
    shown.type(SEEN)
    shown.wait("found")
    _back(shown)
    shown.press("up")
    shown.wait("Esc back")
    shown.press("up")
    for key, text in (("w", f"│     {SEEN}"), ("d", "Delete this message")):
        shown.type(key)
        shown.wait(text)
        _back(shown)
    shown.type("y")
    shown.wait("Copied")
    shown.press("esc")
    shown.gone("Esc back")
    shown.type("/why")
    shown.press("enter")
    shown.wait("is on its way", "Esc back")
    _back(shown)


def _remarks(shown: Terminal, service: Service, node: HostileNode, bob: str) -> None:
    """What is done with a message of one's own, and the themes."""

    def say() -> None:
        message = node.said(bob, f"last https://a.example/ https://b.example/ {node.hostile[:200]}", "delivered")
        node._changed(message, "edit", edited_at=message["sent_at"])

    shown.press("ctrl+end")  # where a message is taller than the screen, what was above it is shown
    service.do(say)
    shown.wait("https://a.example/", "edited")
    shown.press("up")
    shown.wait("Esc back")
    for key, text in (("+", "React"), ("o", "Open a link"), ("v", "What it said"), ("d", "Delete it for both")):
        shown.type(key)
        shown.wait(text)
        _back(shown)
    shown.type("p")
    shown.wait("pinned")
    shown.press("alt+g")
    shown.wait("Pinned in the chat with bob", "you")
    _back(shown)
    for key, text in (("m", "select text"), ("s", "Shift and the arrow keys")):
        shown.type(key)
        shown.wait(text)
        _back(shown)
    shown.press("esc")
    shown.gone("Esc back")
    shown.type("/theme")
    shown.press("enter")
    shown.wait("catppuccin")
    _back(shown)


def _groups(shown: Terminal, service: Service, node: HostileNode) -> None:
    """Names of members, of a group and of those who want in, and what all of them write; then back to bob."""

    def found() -> None:
        eve = member(1, "eve", contact="eve")
        chat = node.group("football", [eve, member(2, "eve")])
        node.writes(chat, eve, f"@eve {node.hostile[:200]}")
        node.writes(chat, member(2, "eve"), "last words", quote=node._quote(node.history[chat][0]["id"]))
        node.does(chat, f"eve added {node.hostile[:100]}")
        node.wants_in(chat, "trudy", "let me in")

    def page(line: str, *words: str) -> None:
        shown.type(line)
        shown.press("enter")
        shown.wait(*words)

    service.do(found)
    shown.wait("# football")
    page("/chat football", "last words", f"football {SEEN}")
    shown.type("hi @ev")
    shown.wait("@eve", "·0001")
    shown.press("ctrl+c")
    shown.gone("hi @ev")
    shown.press("up")
    shown.wait("Esc back")
    shown.type("h")
    shown.wait("Hide this message for all?")
    _back(shown)
    shown.press("esc")
    shown.gone("Esc back")
    page("/group", "Enter change", f"─ football {SEEN}")
    shown.type("m")
    shown.wait("A name", "  owner  ", "·0002")
    shown.press("down")
    shown.press("enter")
    shown.wait("mention them", f"─ eve {SEEN}")
    shown.press("down", "down", "enter")
    shown.wait(f"Mute eve {SEEN}", "8 hours")
    shown.press("esc")
    shown.gone("8 hours")
    _back(shown)
    page("/group log", f"What was done in football {SEEN}", "eve added")
    _back(shown)
    page("/group requests", f"Who asks to join football {SEEN}", "They write: let me in")
    _reads(shown, f"let me in {SEEN}")
    _back(shown)
    page("/group invite", f"Invite to football {SEEN}")
    shown.press("enter")
    shown.wait("P2PCHAT:GROUP", SEEN)
    _back(shown)
    page("/group add", f"Add contacts to football {SEEN}", f"[ ] bob {SEEN}")
    _back(shown)
    page("/group create chess", "What is it called?")
    _back(shown)
    shown.press("alt+2")
    shown.wait("last https://a.example")
    _clear(shown)


def _commands(shown: Terminal) -> None:
    """The help; names in the palette, in the completion of a command, and in a text that says what is wrong."""
    shown.press("f1")
    shown.wait("Keys everywhere")
    _back(shown)
    shown.press("f3")
    shown.wait("density")
    _back(shown)
    shown.press("ctrl+p")
    shown.wait("Go to a chat", SEEN)
    _back(shown)
    shown.type("/cha")
    shown.wait("/chat NAME")
    shown.type("t b")
    shown.press("tab")
    shown.until(
        lambda text: bool(re.search(rf"› /chat bob[ │\n]+{SEEN}", text)), "the name, maybe on a line of its own"
    )
    _clear(shown)
    shown.type("/chat b")
    shown.press("enter")
    shown.wait("That could be bob")


def _files(shown: Terminal, service: Service, node: HostileNode, bob: str) -> None:
    """A picture whose name, caption and problem are hostile; its pages, and those for files of this computer."""
    file = {**photo(), "state": "paused", "problem": "so", "progress": 0.5}
    service.do(lambda: node.sends_file(bob, file, node.hostile[:200]))
    shown.press("ctrl+end")
    shown.wait("▣ bridge", SEEN)
    shown.press("ctrl+up")
    shown.wait("f resume")
    shown.type("s")
    shown.wait("Save this file", "bridge.jpg")
    _back(shown)
    shown.press("ctrl+up")
    shown.wait("f resume")
    shown.type(" ")
    shown.wait("Pictures of this contact are not shown")
    shown.press("esc")
    shown.gone("s save   Esc back")
    shown.press("ctrl+up")
    shown.wait("f resume")
    shown.press("esc")
    shown.gone("f resume")
    for typed, heading in (("/files", "Files in the chat"), ("/file", "Send a file from")):
        shown.type(typed)
        shown.press("enter")
        shown.wait(heading)
        _back(shown)
    shown.type("/voice")
    shown.press("enter")
    shown.wait("Voice note for bob", SEEN)
    _back(shown)
    shown.type("/file /etc/passwd")
    shown.press("enter")
    shown.wait("Send this file to bob", "passwd")
    _back(shown)


def _reads(shown: Terminal, words: str) -> None:
    """Wait until the panel says this, wherever its lines break."""

    def there(_text: str) -> bool:
        left, right = shown.columns // 2 - 32, shown.columns // 2 + 32
        rows = ["".join(cell.text for cell in line[left:right]) for line in shown.screen.cells()]
        return words in " ".join(" ".join(rows).replace("│", " ").split())

    shown.until(there, repr(words))


def _fill(shown: Terminal, hostile: str) -> None:
    """Into an empty field, from the clipboard; its beginning is to be seen."""
    shown.paste(pasted(hostile))
    shown.press("home")
    shown.wait(f"{_FIELD}{SEEN}")


def _questions(shown: Terminal, **asked: str) -> None:
    """Keys that ask something with a name in it first."""
    for key, question in asked.items():
        shown.type(key)
        shown.wait("Sure?")
        _reads(shown, f"{question} {SEEN}")
        shown.press("esc")
        shown.gone("Sure?")


def _clear(shown: Terminal) -> None:
    """Away with the draft, which is hostile too."""
    shown.press("ctrl+c")
    shown.wait("write a message")


def _back(shown: Terminal) -> None:
    """Leave a panel."""
    shown.press("esc")
    shown.gone("╭─ ")
