"""Slash commands: one table for the composer, its completion, the palette and the help.

A line that begins with a slash is a command; with two it is a text that begins with one. What is no command is never
sent as a text: a mistyped `/delete` must not arrive at somebody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from p2pchat.lib.shortcodes import begun_in, names_beginning
from p2pchat.tui import preferences
from p2pchat.tui.themes import NAMES

NOTHING, CONTACT, REQUEST, CHOICE, TEXT = "nothing", "contact", "request", "choice", "text"
PATH = "path"
GROUP = "group"
SETTING, COMMAND = "setting", "command"


class Command(NamedTuple):
    """One row. `usage`: its arguments as shown in the help. `takes`: their kind, for completion. `chat`: only available
    while a chat is shown. `also`: what other programs call it; works too, and is completed. `needs`: the method of the
    node without which it is not offered.
    """

    name: str
    says: str
    usage: str = ""
    takes: str = NOTHING
    choices: tuple[str, ...] = ()
    chat: bool = False
    also: tuple[str, ...] = ()
    needs: str = ""

    @property
    def shown(self) -> str:
        """How to type it: `/rename NAME`."""
        return f"/{self.name} {self.usage}".rstrip()

    @property
    def told(self) -> str:
        """What it does, and its other names."""
        return f"{self.says} (also {', '.join(f'/{name}' for name in self.also)})" if self.also else self.says


COMMANDS: tuple[Command, ...] = (
    Command("help", "show all keys, or explain a command", "[COMMAND]", COMMAND),
    Command("invite", "invite a friend"),
    Command("invites", "list the invites you made and who used them, or revoke one"),
    Command("add", "use an invite that somebody gave you", "[INVITE]", TEXT),
    Command("echo", "chat with an echo bot on this computer"),
    Command("requests", "show contact requests"),
    Command("accept", "accept a request", "[NAME]", REQUEST),
    Command("decline", "decline a request; they are not told", "[NAME]", REQUEST),
    Command("chat", "go to a chat", "NAME", CONTACT, also=("query", "buffer")),
    Command("msg", "send a text to another chat, and stay in this one", "NAME TEXT", CONTACT),
    Command("me", "send what you do, in italics: /me waves", "TEXT", TEXT, chat=True),
    Command("contact", "show a contact's page", "[NAME]", CONTACT, also=("whois",)),
    Command("verify", "compare safety numbers with a contact", "[NAME]", CONTACT),
    Command("rename", "give this contact another name, for yourself only", "NAME", TEXT, chat=True),
    Command("note", "keep a note about this contact that only you see", "[TEXT]", TEXT, chat=True),
    Command(
        "block",
        "block a contact: nothing is received from them or sent to them",
        "[NAME]",
        CONTACT,
        also=("ignore",),
    ),
    Command("unblock", "unblock a contact", "[NAME]", CONTACT, also=("unignore",)),
    Command("forget", "forget a contact, with or without the chat", "[NAME]", CONTACT),
    Command("group", "found a group, or do something in this one", "VERB", GROUP, needs="create_group"),
    Command("members", "list the members of this group", "[WORDS]", TEXT, chat=True, also=("names",), needs="group"),
    Command("reports", "go to the next message that somebody reports", chat=True, needs="group_reports"),
    Command("mention", "go to the next message that mentions you", needs="group"),
    Command(
        "channel",
        "say what is known of this channel, copy its link, change it, or found one",
        "[VERB]",
        TEXT,
        needs="create_channel",
    ),
    Command("comment", "go to the group that talks about this channel, or ask to join it", needs="channel_comments"),
    Command("notes", "write notes to yourself"),
    Command("pin", "pin a chat to the top of the list, or unpin it", "[NAME]", CONTACT),
    Command("archive", "archive a chat, or take it out of the archive", "[NAME]", CONTACT, also=("close",)),
    Command("mute", "mute a chat for a time: 8h, 7d; off unmutes it", "[TIME]", TEXT, chat=True),
    Command("clear", "delete all messages of a chat, on this device only", "[NAME]", CONTACT),
    Command("search", "search in this chat", "[WORDS]", TEXT, chat=True),
    Command("everywhere", "search in all chats", "[WORDS]", TEXT, also=("grep",)),
    Command("pinned", "show the pinned messages of this chat", chat=True),
    Command("jump", "go to a date or a time in this chat", "DATE", TEXT, chat=True),
    Command("unread", "go to the first unread message of this chat", chat=True),
    Command("copy", "copy the selected or newest message", chat=True),
    Command("reply", "reply to the selected or newest message", chat=True),
    Command("edit", "edit the selected message, or your newest one", chat=True),
    Command("react", "react to the selected message, or their newest one", "[EMOJI]", TEXT, chat=True),
    Command("delete", "delete the selected message, or your newest one", chat=True),
    Command("file", "send a file or a picture; without PATH, pick one", "[PATH]", PATH, chat=True),
    Command("files", "list the files of this chat", chat=True),
    Command("voice", "record a voice note, listen to it, and send it", chat=True),
    Command("timer", "make messages of this chat disappear after a time: 1h, 7d, off", "[TIME]", TEXT, chat=True),
    Command("why", "explain where the selected message is, or your newest one", chat=True),
    Command("relays", "show the relays that store messages while you are offline", "[ADDRESS]", TEXT),
    Command("network", "show how you and your contacts are reached, and what to try", also=("doctor",)),
    Command("open", "open the link in the selected message, or the newest link; or the selected file", chat=True),
    Command("save", "save the selected or newest message to a file; a file, to a folder", "[FILE]", PATH, chat=True),
    Command("export", "save this whole chat to a file; .html makes a web page", "[FILE]", TEXT, chat=True),
    Command("editor", "write the message in your editor ($VISUAL or $EDITOR)", chat=True),
    Command("settings", "show every setting, or change one", "[SETTING VALUE]", SETTING, also=("set",)),
    Command("name", "show or change your own name", "[NAME]", TEXT, also=("nick",)),
    Command("dnd", "do not disturb: no bell and no notifications", "[on|off|TIME]", CHOICE, ("on", "off")),
    Command("theme", "choose the colours; without NAME, preview every theme", "[NAME]", CHOICE, NAMES),
    Command("density", "show messages in groups, or one per line", "MODE", CHOICE, preferences.DENSITIES),
    Command(
        "rtl",
        "choose what reorders right-to-left text",
        "MODE",
        CHOICE,
        ("auto", "app", "terminal", "off"),
    ),
    Command("keep", "keep receiving when the screen is closed", "on|off", CHOICE, ("on", "off")),
    Command("receipts", "tell others when you have read their messages", "on|off", CHOICE, ("on", "off")),
    Command("typing", "show when either of you is typing", "on|off", CHOICE, ("on", "off")),
    Command("offer", "turn the small relay for your contacts on or off"),
    Command("lock", "close, and forget the keys until the passphrase is given again"),
    Command("quit", "quit", also=("exit",)),
)

BY_NAME = {command.name: command for command in COMMANDS}
_MEANT = {name: command for command in COMMANDS for name in (command.name, *command.also)}


MAX_PATHS = 200
"""Paths that are offered at once."""


class Say(NamedTuple):
    """A text to send."""

    text: str


class Run(NamedTuple):
    """A command with its arguments."""

    command: Command
    rest: str


class Unknown(NamedTuple):
    """An unknown command; `nearest` may have been meant."""

    name: str
    nearest: str | None


def offered() -> list[Command]:
    """Return the commands that can be done."""
    from p2pchat.tui.groups import offers  # nothing that the first picture needs

    return [command for command in COMMANDS if not command.needs or offers(command.needs)]


def parse(line: str) -> Say | Run | Unknown:
    """Parse a submitted line. White space before the slash is ignored: ` /quit` is a command."""
    begun = line.lstrip(" ")
    if not begun.startswith("/"):
        return Say(line)
    if begun.startswith("//"):
        return Say(line.replace("//", "/", 1))
    match = re.match(r"/(\S*)\s*(.*)", begun, re.DOTALL)
    assert match is not None
    name, rest = match[1], match[2].rstrip()
    command = called(name)
    if command is not None:
        return Run(command, rest)
    known = [called_so for command in offered() for called_so in (command.name, *command.also)]
    near = get_close_matches(name.casefold(), known, 1, 0.5)
    return Unknown(name, near[0] if near else None)


def called(name: str) -> Command | None:
    """Return the command of that name, with or without its slash."""
    found = _MEANT.get(name.removeprefix("/").casefold())
    return found if found is None or not found.needs or found in offered() else None


class Completion(NamedTuple):
    """One completion: the resulting line, what to show for it, and what it does."""

    line: str
    shown: str
    says: str


def completions(line: str, contacts: Sequence[str], requests: Sequence[str]) -> list[Completion]:
    """Return the completions of a line that begins with a slash, or of a text that ends in the beginning of an emoji's
    name; names are labels of contacts and of people with a request.
    """
    if begun := begun_in(line):
        start = line[: -len(begun) - 1]
        return [Completion(f"{start}{emoji}", f":{name}:", emoji) for name, emoji in names_beginning(begun)]
    if not line.startswith("/") or line.startswith("//") or "\n" in line:
        return []
    name, space, rest = line[1:].partition(" ")
    if not space:
        return [
            Completion(f"/{called_so}" + (" " if each.usage else ""), f"/{called_so} {each.usage}".rstrip(), each.says)
            for each in offered()
            for called_so in (each.name, *(each.also if name else ()))
            if called_so.startswith(name.casefold())
        ]
    command = called(name)
    if command is None:
        return []
    if command.takes == GROUP:
        from p2pchat.tui import group_verbs

        return [Completion(f"/{name} {more}", shown, says) for more, shown, says in group_verbs.ways(rest, contacts)]
    if command.takes == PATH:
        return _paths(f"/{name} ", rest) or [Completion(line, command.shown, command.says)]
    words = {
        CONTACT: contacts,
        REQUEST: requests,
        CHOICE: command.choices,
        COMMAND: tuple(each.name for each in offered()),
        SETTING: _settings(rest),
    }.get(command.takes, ())
    begun = rest.lstrip().casefold()
    found = [Completion(f"/{name} {each}", each.strip(), "") for each in words if each.casefold().startswith(begun)]
    # Nothing to choose from, or all is written: then what it does is worth saying still.
    return found or [Completion(line, command.shown, command.says)]


def _paths(before: str, begun: str) -> list[Completion]:
    """How a path may go on."""
    from p2pchat.tui import paths  # nobody needs it before the first picture

    found = paths.completions(begun)[:MAX_PATHS] if begun else []
    return [Completion(before + each, each[each.rstrip("/").rfind("/") + 1 :], "") for each in found]


def _settings(rest: str) -> list[str]:
    """How `/settings` may go on: with the names of settings, or with the values of the one that is named."""
    name, space, _ = rest.lstrip().partition(" ")
    setting = preferences.BY_NAME.get(name.casefold())
    if not space or setting is None:
        return [f"{each} " for each in preferences.BY_NAME]
    return [f"{setting.name} {preferences.worded(choice)}" for choice in setting.choices]


def completed(line: str, found: Sequence[Completion]) -> str:
    """Return the line extended as far as all completions agree; it never gets shorter, or a different one."""
    return shared_beginning(line, [each.line for each in found])


def shared_beginning(line: str, found: Sequence[str]) -> str:
    """Return a line extended as far as all of these agree; it never gets shorter, or a different one."""
    if not found:
        return line
    lines = [each.casefold() for each in found]
    agreed = 0
    for letters in zip(*lines, strict=False):
        if len(set(letters)) > 1:
            break
        agreed += 1
    if agreed <= len(line) or not lines[0].startswith(line.casefold()):
        return line
    return found[0][:agreed]
