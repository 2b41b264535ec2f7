"""The one table of keys. The bindings of the screens and the help are both made from it, so they cannot differ.

Not used, because something else takes them: Ctrl+S (the terminal), Ctrl+B alone (tmux, so F2 does the same),
Ctrl+I, Ctrl+M and Ctrl+H (they are Tab, Enter and Backspace). What readline gives to a line of text stays with it where
a person would miss it: Ctrl+A, E, W, U, K, D.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from textual.binding import Binding

EVERYWHERE = "everywhere"
CHATS = "in the chats"
WRITING = "while writing"
MESSAGE = "on a message"
LIST = "in the list of chats"

WHERE = (EVERYWHERE, CHATS, WRITING, MESSAGE, LIST)
"""In the order of the help."""


SEND = "send"
"""The action without which nothing can be said."""

_PREFIXES = {EVERYWHERE: "", CHATS: "", WRITING: "write_", MESSAGE: "message_", LIST: "list_"}
_STEMS = {
    "app.command_palette": "palette",
    "app.command('quit')": "leave",
    "app.suspend_process": "suspend",
    "step(1)": "next_chat",
    "step(-1)": "previous_chat",
    "scroll_page(-1)": "page_up",
    "scroll_page(1)": "page_down",
    "move(-1)": "up",
    "move(1)": "down",
    "turn(-1)": "page_up",
    "turn(1)": "page_down",
    "move(-1000000)": "first",
    "move(1000000)": "last",
    "copy_or_clear": "copy",
    "order('pin')": "pin",
    "order('archive')": "archive",
    "order('mute')": "mute",
    "order('forget')": "forget",
}
"""Names of actions that do not say enough."""


class Key(NamedTuple):
    """One row: the keys as Textual names them, the action they run, what it does, and where. A row with `told` False
    works, and is too obvious to be told.
    """

    keys: tuple[str, ...]
    action: str
    says: str
    where: str
    told: bool = True

    @property
    def name(self) -> str:
        """The action's name in `[keys]` of the person's file: `invite`, `message_reply`, `list_open`."""
        return _name(self.action, self.where)

    @property
    def shown(self) -> str:
        """The keys as a person reads them."""
        return " or ".join(shown(key) for key in self.keys)


@cache
def _name(action: str, where: str) -> str:
    stem = _STEMS.get(action) or re.sub(r"\W+", "_", re.sub(r"app\.(command\(')?", "", action)).strip("_")
    stem = stem.replace("chat_at_", "chat_")
    if stem.endswith("_True"):
        stem = stem.replace("cursor_", "select_").removesuffix("_True")
    return SEND if action == "submit" else _PREFIXES[where] + stem


def _key(keys: str, action: str, says: str, where: str, *, told: bool = True) -> Key:
    return Key(tuple(keys.split()), action, says, where, told)


KEYS: tuple[Key, ...] = (
    _key("f1 alt+h", "app.command('help')", "help: every key, command and sign", EVERYWHERE),
    _key("ctrl+p", "app.command_palette", "find a command or a chat by its name", EVERYWHERE),
    _key("ctrl+q", "app.command('quit')", "quit", EVERYWHERE),
    _key("ctrl+l", "app.redraw", "redraw the screen", EVERYWHERE),
    _key("ctrl+z", "app.suspend_process", "suspend p2pchat; `fg` resumes it", EVERYWHERE),
    # --- the main screen
    _key("ctrl+n", "app.command('invite')", "invite a friend", CHATS),
    _key("ctrl+o", "app.command('add')", "use an invite", CHATS),
    _key("ctrl+r", "app.command('requests')", "contact requests", CHATS),
    _key("f3 alt+comma", "app.command('settings')", "settings", CHATS),
    _key("f4", "app.command('network')", "the network: how you reach others, and what to try", CHATS),
    _key("ctrl+y", "app.command('contact')", "the page of the contact, or of the group", CHATS),
    _key("ctrl+f", "app.command('search')", "search in this chat", CHATS),
    _key("alt+s", "app.command('everywhere')", "search in all chats", CHATS),
    _key("alt+m", "app.command('mention')", "go to the next message that mentions you", CHATS),
    _key("alt+r", "app.command('reports')", "go to the next message that somebody reports, as a moderator", CHATS),
    _key("alt+g", "app.command('pinned')", "show the pinned messages of this chat", CHATS),
    _key("alt+u", "app.command('unread')", "go to the first unread message of this chat", CHATS),
    _key("alt+a", "next_unread", "next chat with unread messages", CHATS),
    *(
        _key(f"alt+{digit}", f"chat_at({digit})", f"chat {digit} of the list", CHATS, told=digit == 1)
        for digit in range(1, 10)
    ),
    _key("alt+down ctrl+pagedown", "step(1)", "next chat of the list", CHATS),
    _key("alt+up ctrl+pageup", "step(-1)", "previous chat of the list", CHATS),
    _key("f2 ctrl+b", "fold", "show or hide the list of chats", CHATS),
    _key("ctrl+up", "select_message", "select a message", CHATS),
    _key("pageup", "scroll_page(-1)", "scroll up a page in the chat", CHATS),
    _key("pagedown", "scroll_page(1)", "scroll down a page in the chat", CHATS),
    _key("ctrl+end", "newest", "go to the newest message", CHATS),
    # --- the composer
    _key("enter", "submit", "send", WRITING),
    _key("ctrl+j shift+enter alt+enter", "new_line", "new line", WRITING),
    _key("alt+e", "app.command('editor')", "write in your editor", WRITING),
    _key("escape", "cancel", "cancel the reply or the edit", WRITING),
    _key("tab", "complete", "complete a command, a name or an emoji", WRITING),
    _key("up", "up", "select a message; in a text: line above, previous text", WRITING),
    _key("down", "down", "line below, next text", WRITING),
    _key("alt+p", "earlier", "previous text you wrote in this chat", WRITING),
    _key("alt+n", "later", "next text you wrote", WRITING),
    _key("ctrl+c", "copy_or_clear", "copy the selection, or clear the line", WRITING),
    _key("ctrl+a home", "cursor_line_start", "start of the line", WRITING),
    _key("ctrl+e end", "cursor_line_end", "end of the line", WRITING),
    _key("ctrl+left alt+b", "cursor_word_left", "back a word", WRITING),
    _key("ctrl+right alt+f", "cursor_word_right", "forward a word", WRITING),
    _key("ctrl+w alt+backspace ctrl+backspace", "delete_word_left", "delete the word before the cursor", WRITING),
    _key("alt+d alt+delete", "delete_word_right", "delete the word after the cursor", WRITING),
    _key("ctrl+u", "delete_to_start_of_line", "delete to the start of the line", WRITING),
    _key("ctrl+k", "delete_to_end_of_line", "delete to the end of the line", WRITING),
    _key("ctrl+underscore alt+z", "undo", "undo", WRITING),
    _key("alt+y", "redo", "redo", WRITING),
    _key("ctrl+v", "paste", "paste what was copied in p2pchat", WRITING, told=False),
    _key("ctrl+x", "cut", "cut the selection", WRITING, told=False),
    _key("left", "cursor_left", "left", WRITING, told=False),
    _key("right", "cursor_right", "right", WRITING, told=False),
    _key("backspace", "delete_left", "delete the character before the cursor", WRITING, told=False),
    _key("delete ctrl+d", "delete_right", "delete the character after the cursor", WRITING, told=False),
    _key("shift+left", "cursor_left(True)", "select", WRITING, told=False),
    _key("shift+right", "cursor_right(True)", "select", WRITING, told=False),
    _key("shift+up", "cursor_up(True)", "select", WRITING, told=False),
    _key("shift+down", "cursor_down(True)", "select", WRITING, told=False),
    _key("shift+home", "cursor_line_start(True)", "select", WRITING, told=False),
    _key("shift+end", "cursor_line_end(True)", "select", WRITING, told=False),
    _key("ctrl+shift+left", "cursor_word_left(True)", "select", WRITING, told=False),
    _key("ctrl+shift+right", "cursor_word_right(True)", "select", WRITING, told=False),
    # --- a selected message
    _key("up k", "move(-1)", "message above", MESSAGE),
    _key("down j", "move(1)", "message below", MESSAGE),
    _key("pageup", "turn(-1)", "a page up", MESSAGE, told=False),
    _key("pagedown", "turn(1)", "a page down", MESSAGE, told=False),
    _key("home", "first", "the oldest message loaded so far", MESSAGE),
    _key("end", "last", "the newest message", MESSAGE),
    _key("r", "reply", "reply to it", MESSAGE),
    _key("e", "edit", "edit it, if it is yours and at most 48 hours old", MESSAGE),
    _key("plus", "react", "react to it with an emoji", MESSAGE),
    _key("p", "pin", "pin or unpin it", MESSAGE),
    _key("g", "jump_quoted", "go to the message it replies to", MESSAGE),
    _key("n", "older_hit", "next older hit of the last search", MESSAGE),
    _key("N", "newer_hit", "next newer hit", MESSAGE),
    _key("b", "back", "back to where you jumped from", MESSAGE),
    _key("v", "versions", "show its earlier versions", MESSAGE),
    _key("y", "copy", "copy it", MESSAGE),
    _key("m", "menu", "list everything you can do with it", MESSAGE),
    _key("s", "select_text", "select and copy part of its text; save a file", MESSAGE),
    _key("c", "copy_code", "copy the code in it", MESSAGE),
    _key("o", "open_link", "open the link in it, or the file", MESSAGE),
    _key("space", "view_file", "look at a picture; play a voice note, or pause it", MESSAGE),
    _key("f", "fetch_file", "fetch a file, pause that, or go on", MESSAGE),
    _key("x", "cancel_file", "decline a file, or withdraw yours", MESSAGE),
    _key("t", "speed", "play voice notes 1.5 or 2 times as fast, or as spoken", MESSAGE),
    _key("h", "hide", "hide it for all members of a group, as a moderator", MESSAGE),
    _key("R", "report", "report it to those who moderate the group", MESSAGE),
    _key("d delete", "delete", "delete it, for you or for both", MESSAGE),
    _key("w enter", "explain", "show where it is, and why", MESSAGE),
    _key("escape", "leave", "back to writing", MESSAGE),
    # --- the list of chats
    _key("up k", "move(-1)", "up", LIST),
    _key("down j", "move(1)", "down", LIST),
    _key("home", "move(-1000000)", "first", LIST, told=False),
    _key("end", "move(1000000)", "last", LIST, told=False),
    _key("enter space", "open", "open it; on “Archived”, show or hide the archived chats", LIST),
    _key("p", "order('pin')", "pin it to the top, or unpin it", LIST),
    _key("a", "order('archive')", "archive it, or take it out of the archive", LIST),
    _key("m", "order('mute')", "mute or unmute it", LIST),
    _key("d delete", "order('forget')", "forget the contact, with or without the chat", LIST),
    _key("escape", "leave", "back to writing", LIST),
)


def bindings(where: str) -> list[Binding]:
    """What a widget or screen of that place binds."""
    # What works everywhere does so over a dialogue too, which keeps all other keys to itself.
    first = where == EVERYWHERE
    return [
        Binding(",".join(key.keys), key.action, key.says, show=False, priority=first, id=key.name)
        for key in KEYS
        if key.where == where
    ]


_NAMES = {
    "escape": "Esc",
    "enter": "Enter",
    "tab": "Tab",
    "space": "Space",
    "backspace": "Backspace",
    "delete": "Del",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "underscore": "_",
    "plus": "+",
    "comma": ",",
    "ctrl": "Ctrl",
    "alt": "Alt",
    "shift": "Shift",
}


TYPED = {
    **{said.lower(): name for name, said in _NAMES.items()},
    "return": "enter",
    "page up": "pageup",
    "page down": "pagedown",
    "ins": "insert",
}
"""How people write keys beside Textual's names for them."""


def shown(key: str) -> str:
    """One key as a person reads it: `ctrl+n` is Ctrl+N."""
    *modifiers, last = key.split("+")
    # Alt+a and Alt+A are two keys to a terminal, but nobody reads them so.
    name = _NAMES.get(last) or (last.upper() if modifiers or len(last) > 1 else last)
    return "+".join([*(_NAMES[each] for each in modifiers), name])
