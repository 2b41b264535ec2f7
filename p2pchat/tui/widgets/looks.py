"""The colours of the conversation: the roles of its pieces, and the style of each."""

from __future__ import annotations

ROLES = frozenset(
    {
        "gutter",
        "text",
        "match",
        "time",
        "you",
        "name-0",
        "name-1",
        "name-2",
        "name-3",
        "name-4",
        "name-5",
        "mark",
        "read",
        "failed",
        "route",
        "late",
    }
    | {"note", "date", "line", "unread", "selected", "marker", "bar", "key", "pill", "hint"}
    | {"mention", "mention-me", "seen"}
    | {"quoted", "reaction", "reaction-mine", "pinned"}
    | {"sign", "file", "progress", "picture", "wave", "rest"}
    | {"link", "code", "code-edge", "language", "strong", "em", "strike", "quote"}
)
"""The roles of pieces; each is styled by the component class `conversation--<role>`."""

CSS = """
Conversation {
    width: 1fr; height: 1fr; background: $background; color: $foreground;
    & > .conversation--time { color: $text-muted; }
    & > .conversation--you { color: $accent; text-style: bold; }
    & > .conversation--name-0 { color: $primary; text-style: bold; }
    & > .conversation--name-1 { color: $success; text-style: bold; }
    & > .conversation--name-2 { color: $warning; text-style: bold; }
    & > .conversation--name-3 { color: $secondary; text-style: bold; }
    & > .conversation--name-4 { color: $foreground; text-style: bold; }
    & > .conversation--name-5 { color: $error; text-style: bold; }
    & > .conversation--mention { color: $accent; text-style: bold; }
    & > .conversation--mention-me { color: $background; background: $accent; text-style: bold; }
    & > .conversation--seen { color: $text-muted; }
    & > .conversation--mark { color: $text-muted; }
    & > .conversation--read { color: $accent; text-style: bold; }
    & > .conversation--failed { color: $error; text-style: bold; }
    & > .conversation--route { color: $text-muted; text-style: italic; }
    & > .conversation--late { color: $warning; text-style: italic; }
    & > .conversation--note { color: $text-muted; text-style: italic; }
    & > .conversation--date { color: $text-muted; }
    & > .conversation--line { color: $border-blurred; }
    & > .conversation--link { color: $accent; text-style: underline; }
    & > .conversation--code { background: $panel; }
    & > .conversation--code-edge { color: $text-muted; background: $panel; }
    & > .conversation--language { color: $text-muted; background: $panel; text-style: italic; }
    & > .conversation--sign { color: $accent; text-style: bold; }
    & > .conversation--file { text-style: bold; }
    & > .conversation--progress { color: $accent; text-style: bold; }
    & > .conversation--wave { color: $accent; }
    & > .conversation--rest { color: $text-muted; }
    & > .conversation--strong { text-style: bold; }
    & > .conversation--em { text-style: italic; }
    & > .conversation--strike { text-style: strike; }
    & > .conversation--quoted { color: $text-muted; text-style: bold; }
    & > .conversation--reaction { background: $panel; }
    & > .conversation--reaction-mine { background: $panel; color: $accent; text-style: bold; }
    & > .conversation--pinned { color: $warning; }
    & > .conversation--quote { color: $text-muted; }
    & > .conversation--unread { color: $warning; }
    & > .conversation--match { text-style: bold reverse; }
    & > .conversation--selected { background: $panel; }
    & > .conversation--marker { color: $accent; }
    & > .conversation--bar { color: $text-muted; }
    & > .conversation--key { color: $foreground; text-style: bold; }
    & > .conversation--pill { color: $background; background: $primary; text-style: bold; }
    &:ansi > .conversation--pill {
        color: ansi_default; background: ansi_default; text-style: bold reverse;
    }
    &:ansi > .conversation--mention-me {
        color: ansi_default; background: ansi_default; text-style: bold reverse;
    }
    &:ansi > .conversation--code { color: $secondary; }
    &:ansi > .conversation--selected { text-style: bold; }
    & > .conversation--hint { color: $text-muted; }
}
"""
