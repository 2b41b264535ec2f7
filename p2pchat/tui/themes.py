"""The looks. `dark` is the usual one; `light`; `contrast` for tired or weak eyes; `mono` leaves all colours to the
terminal and is what NO_COLOR gets.

Meaning never hangs on a colour alone: marks and words say the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import Theme

MUTED = "$foreground 60%"
"""For parts of a text: `$text-muted` depends on what is behind it, and only a whole widget knows that."""

DARK, LIGHT, CONTRAST, MONO = "dark", "light", "contrast", "mono"

THEMES: tuple[Theme, ...] = (
    Theme(
        name=DARK,
        primary="#5aa9e6",
        secondary="#7d8ca3",
        accent="#7fd1b9",
        success="#7fd18b",
        warning="#e6b455",
        error="#e8707a",
        foreground="#d7dce2",
        background="#14181d",
        surface="#1a1f26",
        panel="#232a33",
        boost="#2b343f",
        dark=True,
        variables={"input-cursor-background": "#d7dce2", "input-cursor-foreground": "#14181d"},
    ),
    Theme(
        name=LIGHT,
        primary="#1763a6",
        secondary="#5c6b7e",
        accent="#0b6e5b",
        success="#1f7a33",
        warning="#8a5a00",
        error="#b3262f",
        foreground="#1d242c",
        background="#fbfaf7",
        surface="#f3f2ee",
        panel="#e7e6e1",
        boost="#dcdbd5",
        dark=False,
    ),
    Theme(
        name=CONTRAST,
        primary="#5cc8ff",
        secondary="#ffffff",
        accent="#ffe600",
        success="#5cff7a",
        warning="#ffe600",
        error="#ff7b7b",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#1c1c1c",
        boost="#262626",
        dark=True,
        text_alpha=1.0,
        variables={"border-blurred": "#ffffff", "text-muted": "#e0e0e0", "text-disabled": "#c0c0c0"},
    ),
    Theme(
        name=MONO,
        primary="ansi_default",
        secondary="ansi_default",
        accent="ansi_default",
        success="ansi_default",
        warning="ansi_default",
        error="ansi_default",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        dark=True,
        ansi=True,
        variables={
            "ansi-background": "ansi_default",
            "ansi-foreground": "ansi_default",
            "border": "ansi_default",
            "border-blurred": "ansi_default",
            "block-cursor-foreground": "ansi_default",
            "block-cursor-background": "ansi_default",
            "block-cursor-text-style": "reverse",
            "block-cursor-blurred-text-style": "bold",
            "input-cursor-background": "ansi_default",
            "input-cursor-foreground": "ansi_default",
            "input-cursor-text-style": "reverse",
            "input-selection-background": "ansi_default",
            "input-selection-foreground": "ansi_default",
            "text-muted": "ansi_default",
            "text-disabled": "ansi_default",
        },
    ),
)

NAMES = tuple(theme.name for theme in THEMES)


def chosen(kept: str, environment: Mapping[str, str]) -> str:
    """The theme to begin with: without colours where NO_COLOR asks for it, else the kept one, else the dark one."""
    if environment.get("NO_COLOR"):
        return MONO
    return kept if kept in NAMES else DARK
