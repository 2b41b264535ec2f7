"""What the conversation says of itself: its last row while a message is selected or something newer is below, and the
words in an empty one.
"""

from __future__ import annotations

from p2pchat.tui.model import Chat, Message
from p2pchat.tui.text import STATES, clock, day, displayable_line, width, wrap
from p2pchat.tui.widgets.rendering import Look, Row, TextSpan, edge_word

_KEYS = (("y", "copy"), ("d", "delete"), ("w", "why"), ("esc", "back"))


def keys(cells: int) -> Row:
    """The keys of a selected message, as many words as there is room for."""
    pieces = [TextSpan(" ", "bar")]
    for key, says in _KEYS:
        pieces += [TextSpan(key, "key"), TextSpan(f" {says}  ", "bar")]
    if sum(width(piece.text) for piece in pieces) <= cells:
        return tuple(pieces)
    return (TextSpan(" ", "bar"), *(TextSpan(f"{key} ", "key") for key, _ in _KEYS))


def details(message: Message, look: Look) -> Row:
    """How far a message has come, by which way, and when it was written or came; as much as there is room for."""
    state = [STATES.get(message.state, displayable_line(message.state))] if message.mine else []
    way = [edge_word(message.route)] if message.route else []
    when = clock(message.at)
    dated = f"{day(message.at.date(), look.today)} {when}"
    room = look.cells - sum(width(piece.text) for piece in keys(0))
    choices = [" · ".join(words) + " " for words in ([*state, *way, dated], [*state, *way, when], [*state, when])]
    return (TextSpan(next((words for words in choices if width(words) <= room), choices[-1]), "bar"),)


def pill(below: int, plain: bool) -> Row:
    """What is further down."""
    arrow = "v" if plain else "↓"
    return (TextSpan(f" {arrow} {below} new " if below else f" {arrow} newest ", "pill"),)


def note(chat: Chat, look: Look) -> str:
    """What stands below the messages of somebody who does not answer yet, or cannot; empty for others."""
    if chat.state == "waiting":
        return f"{look.drawn(displayable_line(chat.label))} has not answered yet: what you write waits here"
    if chat.state == "blocked":
        return f"You have blocked {look.drawn(displayable_line(chat.label))}"
    return ""


def hint(chat: Chat | None, look: Look) -> list[str]:
    """The words in an empty conversation, wrapped."""
    if chat is None:
        return []
    name = look.drawn(displayable_line(chat.label))
    if chat.state == "waiting":
        texts = [f"{name} has not answered yet.", "", "What you write waits here and is sent then."]
    elif chat.state == "blocked":
        texts = [f"You have blocked {name}.", "", "Nothing from them is accepted."]
    else:
        texts = [f"Say hello to {name}."]
    return [line.shown for text in texts for line in wrap(text, max(2, look.cells - 2))]
