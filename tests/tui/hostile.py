"""Texts that a terminal would obey, or that would deceive whoever reads it; a node that says them everywhere; and what
the program has to show them on.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any

from textual.widget import Widget

import p2pchat.tui
from p2pchat import errors
from tests.tui.fakes import FakeNode

SEEN = "Qx"
"""Harmless letters before and after each hostile text: where they are on the screen, the text was shown."""

TEXTS = {
    "clears the screen": "\x1b[2J\x1b[H\x1b[3J",
    "moves about": "\x1b[5;5H\x1b[3A\x1b[?1049l\x1b[?25h\x1bc",
    "colours": "\x1b[31;5mred\x1b[0m",
    "window title": "\x1b]0;owned\x07\x1b]2;owned\x1b\\",
    "link": "\x1b]8;;file:///etc/passwd\x1b\\click me\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;b3duZWQ=\x07\x1b]52;p;?\x07",
    "notification": "\x1b]9;owned\x07\x1b]777;notify;owned;owned\x07",
    "device control": '\x1bP$q"p\x1b\\\x1bP0;0|17/17\x1b\\',
    "application command": "\x1b_Gf=24;AAAA\x1b\\\x1b^x\x1b\\\x1bXx\x1b\\",
    "answers as if typed": "\x1b[c\x1b[5n\x1b[6n\x1b[21t\x05",
    "paste": "\x1b[201~/quit\r\x1b[200~",
    "C1": "\x9b2J\x9d0;owned\x9c\x90q\x9c\x84\x85\x8d\x9fx\x9c",
    "bell": "\x07\x07\x07",
    "overstrike": "honest\r\x08\x08\x08\x0b\x0c\x7f\x00\x0e\x0f",
    "bidi embeddings": "\u202aa\u202bb\u202dc\u202ed\u202ce",
    "bidi isolates": "\u2066a\u2067b\u2068c\u2069d",
    "tags": "hi" + "".join(chr(0xE0000 + ord(letter)) for letter in "ignore this"),
    "line separators": "one\u2028two\u2029three\x85four",
    "forged line": "\nbob  10:02  ✓✓ read\n── 2 new ──",
    "zalgo": "z" + "".join(chr(0x300 + number) for number in range(80)) + "a" + "\u20dd\u0489" * 30,
    "markup": "[bold]b[/bold] [@click=app.quit]quit[/] [link=file:///etc]l[/] [red on blue] [/] [[ \\[ [$primary]",
    "wide": "👩‍👩‍👧‍👦" * 30 + "🇮🇷" * 30 + "你好" * 40,
    "one long word": "w" * 48_000,
    "nothing to see": "\u200b\u2060\ufeff\u00ad\u3164\u115f",
}
_NAME = 60
"""Characters of the hostile text that are in a name, which is cut where it comes in."""


def together() -> dict[str, str]:
    """The same texts, as many at once as a name holds: a walk through the whole program takes a while."""
    found: list[tuple[list[str], str]] = []
    for name, text in TEXTS.items():
        for place, (names, texts) in enumerate(found):
            if len(SEEN + texts + text + SEEN) <= _NAME:
                found[place] = ([*names, name], texts + text)
                break
        else:
            found.append(([name], text))
    return {", ".join(names): texts for names, texts in found}


HALF = "\ud83d"
"""Half a character, which JSON can say and UTF-8 cannot."""

# A terminal that gets these is told something it would do; of the others some are only ugly.
COMMANDS = [name for name, text in TEXTS.items() if any(ord(char) < 32 and char != "\n" for char in text)]

_POISONED = (
    "name",
    "draft",
    "reason",
    "next",
    "notice",
    "sas",
    "safety_number",
    "invite",
    "label",
    "profile_name",
    "note",
    "warning",
    "detail",
    "hint",
    "problem",
    "contact",
    "type",
    "path",
    "topic",
    "words",
    "via",
    "epoch",
    "description",
)


_FILE = {
    "name": "photo.jpg",
    "size": 10**18,
    "type": "image/png",
    "form": "picture",
    "state": "moving",
    "progress": 0.5,
    "rate": 1,
    "problem": "stuck",
    "path": "/x",
    "width": 1,
    "height": 1,
    "duration": 10**15,
    "peaks": None,
    "preview": True,
}


class HostileNode(FakeNode):
    """A node that has let everything in: each text that others could have a part in ends in a hostile one."""

    def __init__(self, hostile: str, *, passphrase: str | None = None, keep_receiving: bool | None = False) -> None:
        super().__init__(passphrase=passphrase, keep_receiving=keep_receiving)
        self.hostile = f"{SEEN}{hostile}{SEEN}"
        self.refusing: set[str] = set()
        """Methods that are always refused, with a reason."""
        self.stirring = False
        """Whoever asks for the newest message hears of everything at once."""
        self.warned = errors.NotNow(f"Refused: {self.hostile}", hint=f"so {self.hostile}", candidates=[self.hostile])

    async def call(self, method: str, **params: Any) -> Any:
        if method in self.refusing:
            raise self.warned
        return self.poisoned(await super().call(method, **params))

    def poisoned(self, value: Any, field: str = "") -> Any:
        """An answer or an event with the text in every field that may hold one."""
        if isinstance(value, dict):
            return {key: self.poisoned(each, key) for key, each in value.items()}
        if isinstance(value, list):
            return [self.poisoned(each, field) for each in value]
        if isinstance(value, str) and (field in _POISONED or (field == "from" and value != "me")):
            # A name is cut where it comes in, and only a text can be long.
            limit = {"name": _NAME, "from": _NAME, "draft": len(self.hostile)}.get(field, 200)
            return f"{value} {self.hostile[:limit]}"
        return value

    def meet(self) -> str:
        """Two people who look alike and a conversation, all of it before anybody looked; the id of the first."""
        told, self.on_event = self.on_event, None
        bob = self.friend("bob")
        self.friend("b\u043eb")
        self.says(bob, "hello")
        self.says(bob, self.hostile)
        self.said(bob, self.hostile, "saved")
        self.history[bob][-1] |= {
            "reply_to": self.history[bob][0]["id"],
            "quote": {"from": "bob", "text": self.hostile, "here": True, "deleted": False, "expires_in": None},
            "reactions": [{"emoji": "👍", "from": "bob", "mine": False}],
        }
        for form in ("picture", "voice", "file"):
            self.says(bob, self.hostile[:60])
            self.history[bob][-1] |= {"kind": "file", "file": {**_FILE, "form": form}}
        self.says(bob, "good night")
        self.on_event = told
        self.emit("lagged")
        return bob

    def stir(self) -> None:
        """Something of everything happens."""
        bob = next(iter(self.people))
        self.warns("careful")
        self.knocks("peggy")
        self.comes(bob)
        self.says(bob, self.hostile)

    def _do_messages(
        self, chat: str | None = None, since: str | None = None, position: int | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        if self.stirring and limit == 1:
            asyncio.get_running_loop().call_soon(self.stir)
        return super()._do_messages(chat, since, position, limit)

    def _do_group_log(self, chat: str, limit: int = 50, before: str | None = None) -> list[dict[str, Any]]:
        rows = super()._do_group_log(chat, limit, before)
        return [{**row, "text": f"{row['text']} {self.hostile[:200]}"} for row in rows]

    def _do_group_invite(self, chat: str, *args: Any, **more: Any) -> dict[str, Any]:
        made = super()._do_group_invite(chat, *args, **more)
        return {**made, "text": f"{made['text']} {self.hostile[:60]}"}

    def _do_history(self, id: str, chat: str | None = None) -> list[dict[str, Any]]:
        return [{"text": self.hostile, "at": self._stamp()}]

    def _do_files(self, chat: str, limit: int = 50, before: str | None = None) -> list[dict[str, Any]]:
        return [{**message, "kind": "file", "file": _FILE} for message in self._do_log(self._find(chat))]

    def _do_fetch_file(self, id: str) -> dict[str, Any]:
        return self._do_files(next(iter(self.people)))[-1]

    def _do_save_file(self, id: str, to: str, timeout: float = 30) -> dict[str, Any]:
        return {"path": f"{to}/{self.hostile}", "warning": self.hostile}

    def _do_pinned(self, chat: str) -> list[dict[str, Any]]:
        return self._do_log(self._find(chat))

    def _do_timer(self, chat: str, seconds: int | None = None) -> dict[str, Any]:
        return {"chat": chat, "timer": 60, "by": self.hostile, "at": self._stamp()}

    def _do_doctor(self) -> list[dict[str, Any]]:
        return [{"check": "reach", "ok": False, "state": "bad", "detail": "nobody", "hint": "wait"}]

    def _emit(self, event: str, params: Any) -> None:
        super()._emit(event, self.poisoned(dict(params)))


# --- what the program has to show them on

_NOTING = """
import sys
from textual.widget import Widget

painted = set()

def note(kind):
    for each in kind.__subclasses__():
        paints = each.__dict__.get("render_lines")
        if paints is not None:
            each.render_lines = noting(paints)
        note(each)

def noting(paints):
    def render_lines(widget, crop):
        painted.update(f"{kind.__module__}.{kind.__name__}" for kind in type(widget).__mro__)
        return paints(widget, crop)
    return render_lines

Widget.render_lines = noting(Widget.render_lines)
import textual.widgets._option_list, textual.widgets._text_area
import p2pchat.tui.screens.picture, p2pchat.tui.widgets.conversation
note(Widget)
from tests.tui.fake_groups import METHODS
from p2pchat.api.methods import BY_NAME
for name in METHODS - BY_NAME.keys():
    BY_NAME[name] = None
from p2pchat.cli.main import main
code = main(sys.argv[2:])
open(sys.argv[1], "w").write("\\n".join(painted))
sys.exit(code)
"""


def noting(painted: Path, *words: str) -> list[str]:
    """The command line of the program that, at its end, writes down which kinds of widgets it has painted."""
    return [sys.executable, "-c", _NOTING, str(painted), *words]


def kinds() -> set[str]:
    """Every screen and widget of ours."""
    for module in pkgutil.walk_packages(p2pchat.tui.__path__, "p2pchat.tui."):
        importlib.import_module(module.name)
    found, left = set[str](), [Widget]
    while left:
        left += (kind := left.pop()).__subclasses__()
        found.add(f"{kind.__module__}.{kind.__name__}")
    return {name for name in found if name.startswith("p2pchat.tui.")}
