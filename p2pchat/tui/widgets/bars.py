"""The texts of the conversation itself: its last row, shown while a message is selected or there is something newer
below, and the text of an empty one.
"""

from __future__ import annotations

from collections.abc import Collection

from p2pchat.lib.times import format_duration
from p2pchat.tui import file_words, formatting
from p2pchat.tui.keymap import USUAL, Keymap
from p2pchat.tui.model import NOTES, Chat, File, Message
from p2pchat.tui.text import STATES, clock, day, displayable_line, width, wrap
from p2pchat.tui.widgets.rendering import Look, edge_word
from p2pchat.tui.widgets.spans import Row, TextSpan

_KEYS = (
    ("reply", "reply"),
    ("copy", "copy"),
    ("open the link", "open_link"),
    ("react", "react"),
    ("edit", "edit"),
    ("go to quoted", "jump_quoted"),
    ("copy the code", "copy_code"),
    ("versions", "versions"),
    ("why", "explain"),
    ("delete", "delete"),
    ("pin", "pin"),
    ("back", "leave"),
)
"""The actions on a selected message, in the order of the line: (description, action)."""


_FILE_KEYS = (
    ("view", "view_file"),
    ("fetch", "fetch_file"),
    ("open", "open_link"),
    ("save", "select_text"),
    ("cancel", "cancel_file"),
    ("reply", "reply"),
    ("react", "react"),
    ("speed", "speed"),
    ("copy the caption", "copy"),
    ("go to quoted", "jump_quoted"),
    ("why", "explain"),
    ("delete", "delete"),
    ("pin", "pin"),
    ("back", "leave"),
)
"""The same for a file."""

_JUMPED = (("older hit", "older_hit"), ("newer hit", "newer_hit"), ("jump back", "back"))
"""The actions after a jump, which come first."""

_MENU = ("more", "menu")
"""What stands for those that have no room in the line."""

_MORE = (("select text", "select_text"),)
"""Actions for which that line has no room."""

_MODERATING, _REPORTING = (("hide it for all", "hide"),), (("report to moderators", "report"),)
"""Actions on what a member of a group wrote, of a moderator and of others."""
_OF_GROUPS = ("hide", "report")


def keys(message: Message, cells: int, keymap: Keymap = USUAL, jumped: Collection[str] = ()) -> Row:
    """Return the keys of a selected message with their descriptions, and the way back. If there is not enough room, the
    last ones are left out, and the key of the menu, which has all of them, stands for them; it also stands for
    what is done with messages of members of a group alone. jumped: the actions to continue from the jump that led here,
    or to undo it.
    """
    possible = [way for way in _JUMPED if way[1] in jumped] + [
        way for way in _table(message) if _concerns(way[1], message)
    ]
    *shown, back = [_hint(keymap, way, message) for way in possible]
    more = _hint(keymap, _MENU, message)
    of_member = message.member is not None and not message.deleted and message.kind != "group"
    for count in range(len(shown), -1, -1):
        hints = [*shown[:count], *([more] if count < len(shown) or of_member else []), back]
        pieces = (TextSpan(" ", "bar"), *(piece for hint in hints for piece in hint))
        if sum(width(piece.text) for piece in pieces) <= cells:
            break
    return pieces


def _hint(keymap: Keymap, way: tuple[str, str], message: Message) -> tuple[TextSpan, ...]:
    """A key with what it does; nothing where the action has no key."""
    says, action = way
    says = _worded(says, action, message)
    key = keymap.shown(f"message_{action}")
    return (TextSpan(key, "key", action), TextSpan(f" {says}  ", "bar", action)) if key else ()


def ways(message: Message, keymap: Keymap, *, moderates: bool | None = None) -> list[tuple[str, str, str]]:
    """Return the actions on a message: (key, description, action). moderates: whether the user may act on others in the
    group of which it is; None where it is of no group.
    """
    more = _MORE if message.file is None else ()
    of_group: tuple[tuple[str, str], ...] = ()
    if moderates is not None and message.member is not None and not message.deleted and message.kind != "group":
        of_group = _MODERATING if moderates else _REPORTING
    return [
        (keymap.shown(f"message_{action}"), _worded(says, action, message), action)
        for says, action in (*_table(message), *more, *of_group)
        if action != "leave" and (action in _OF_GROUPS or _concerns(action, message))
    ]


def marked(keymap: Keymap) -> Row:
    """Return the keys for text that was marked with the mouse."""
    pieces = [TextSpan(" ", "bar")]
    for name, says, action in (
        ("write_copy", "copy the text", "copy_marked"),
        ("write_cancel", "back", "leave"),
    ):
        pieces += [TextSpan(keymap.shown(name), "key", action), TextSpan(f" {says}  ", "bar", action)]
    return tuple(pieces)


def _table(message: Message) -> tuple[tuple[str, str], ...]:
    return _KEYS if message.file is None or message.deleted else _FILE_KEYS


def _worded(says: str, action: str, message: Message) -> str:
    """Return what an action does with this message."""
    file = message.file
    if file is None:
        return says
    if action == "fetch_file":
        return "pause" if file.state in file_words.UNDER_WAY else "resume" if file.state == file_words.PAUSED else says
    if action == "cancel_file":
        return "withdraw" if message.mine else "decline"
    if action == "view_file":
        return "play or pause" if file.form == file_words.VOICE else says
    return says


def _concerns_file(action: str, message: Message, file: File) -> bool:
    is_over = file.state in (file_words.HERE, file_words.GONE)
    return {
        "copy": bool(message.text),
        "fetch_file": not is_over and not (message.mine and file.state == file_words.FAILED),
        "cancel_file": not is_over,
        "view_file": file.form == file_words.PICTURE or (file.form == file_words.VOICE and _is_here(message, file)),
        "speed": file.form == file_words.VOICE and _is_here(message, file),
        "open_link": _is_here(message, file),
        "select_text": file.state != file_words.GONE or _is_here(message, file),
        "jump_quoted": message.quote is not None and message.quote.here,
    }.get(action, action in ("reply", "react", "pin", "explain", "delete", "leave"))


def _is_here(message: Message, file: File) -> bool:
    """Return whether the whole file is on this computer."""
    return message.mine or file.state == file_words.HERE


def _concerns(action: str, message: Message) -> bool:
    if message.file is not None and not message.deleted:
        return _concerns_file(action, message, message.file)
    if message.deleted or message.kind != "text":
        about = action == "jump_quoted" and message.quote is not None and message.quote.here
        return about or action in ("explain", "delete", "leave")
    return {
        "copy_code": lambda: bool(formatting.code(message.text)),
        "open_link": lambda: bool(formatting.links(message.text)),
        "edit": lambda: message.mine,
        "versions": lambda: message.edited_at is not None,
        "jump_quoted": lambda: message.quote is not None and message.quote.here,
    }.get(action, lambda: True)()


def details(message: Message, look: Look, room: int) -> Row:
    """Return how far a message has come, by which route, and when it was written or received, as far as there
    is room.
    """
    stays = [f"stays {format_duration(message.expires_in, units=2)}"] if message.expires_in else []
    state = (
        [STATES.get(message.state, displayable_line(message.state))] if message.mine and message.chat != NOTES else []
    )
    if message.seen is not None:
        state.append(f"seen by {message.seen:,}")
    way = [edge_word(message.route)] if message.route and not look.channel else []
    when = clock(message.at, look.twelve)
    dated = f"{day(message.at.date(), look.today)} {when}"
    choices = [
        " · ".join(words) + " "
        for words in ([*state, *way, *stays, dated], [*state, *way, when], [*state, when], [when])
    ]
    return tuple(TextSpan(words, "bar") for words in choices if width(words) <= room)[:1]


def pill(below: int, plain: bool) -> Row:
    """Return the hint that there are messages below."""
    arrow = "v" if plain else "↓"
    return (TextSpan(f" {arrow} {below} new " if below else f" {arrow} newest ", "pill"),)


def note(chat: Chat, look: Look) -> str:
    """Return the note below the messages of a contact who has not answered yet, or cannot; "" for others."""
    if chat.state == "waiting":
        return f"{look.drawn(displayable_line(chat.label))} has not answered yet: what you write waits here"
    if chat.state == "blocked":
        return f"You have blocked {look.drawn(displayable_line(chat.label))}"
    return ""


def hint(chat: Chat | None, look: Look) -> list[str]:
    """Return the text of an empty conversation, wrapped."""
    if chat is None:
        return []
    name = look.drawn(displayable_line(chat.label))
    if chat.state == "waiting":
        texts = [f"{name} has not answered yet.", "", "What you write waits here and is sent then."]
    elif chat.state == "blocked":
        texts = [f"You have blocked {name}.", "", "You receive nothing from them."]
    elif chat.state == "notes":
        texts = ["Nobody but you reads what you write here."]
    elif chat.state == "channel":
        texts = [f"Nothing was posted in {name} yet."]
    elif chat.state == "forgotten":
        texts = [f"{name} is forgotten.", "", "Nothing can be sent to them."]
    elif chat.state == "left":
        texts = [f"You are not in {name} any more.", "", "Nothing can be sent there."]
    elif chat.is_group:
        texts = [f"Nothing has been said in {name} yet.", "", "Every member sees every other member."]
    else:
        texts = [f"Say hello to {name}."]
    return [line.shown for text in texts for line in wrap(text, max(2, look.cells - 2))]
