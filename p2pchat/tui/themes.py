"""The looks. `dark` is the usual one; `contrast` is for tired or weak eyes; `terminal` has the sixteen colours that the
terminal gives; `mono` has none, and is what NO_COLOR gets. The others are palettes that people know from their editors.

Meaning never hangs on a colour alone: marks and words say the same. Every colour of a text is readable on every ground
it stands on (4.5:1 or more), and every line can be seen (1.5:1 or more); a test measures them. What a terminal of 256
colours gets is in `fewer_colours`.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import Theme

MUTED = "$text-muted"
"""For parts of a text."""

DARK, LIGHT, CONTRAST, TERMINAL, MONO = "dark", "light", "contrast", "terminal", "mono"


def made(
    name: str,
    grounds: tuple[str, str, str],
    line: str,
    text: tuple[str, str],
    colours: tuple[str, str, str, str, str, str],
    *,
    dark: bool = True,
    selection: str = "",
) -> Theme:
    """A theme of colours. `grounds`: of the conversation, of what lies beside or over it, and of what is chosen.
    `text`: the foreground and what is said in a lower voice. `colours`: primary, secondary, accent, success, warning,
    error. `selection`: the ground of a text that is selected, the primary one over what is there if it is not given.
    """
    (background, surface, panel), (foreground, muted) = grounds, text
    primary, secondary, accent, success, warning, error = colours
    return Theme(
        name=name,
        primary=primary,
        secondary=secondary,
        accent=accent,
        success=success,
        warning=warning,
        error=error,
        foreground=foreground,
        background=background,
        surface=surface,
        panel=panel,
        dark=dark,
        variables={
            "text-muted": muted,
            "text-disabled": muted,
            "text-primary": primary,
            "text-accent": accent,
            "text-success": success,
            "text-warning": warning,
            "text-error": error,
            "boost": line,
            "border": primary,
            "border-blurred": line,
            "scrollbar": line,
            "scrollbar-hover": muted,
            "scrollbar-active": primary,
            "scrollbar-background": background,
            "scrollbar-background-hover": background,
            "scrollbar-background-active": background,
            "scrollbar-corner-color": background,
            "input-cursor-background": foreground,
            "input-cursor-foreground": background,
            "input-selection-background": selection or f"{primary} 40%",
        },
    )


def _ansi(name: str, line: str, colours: tuple[str, str, str, str, str, str]) -> Theme:
    """A theme of the terminal's own colours: ground and text are its own, what is chosen is reversed."""
    primary, secondary, accent, success, warning, error = colours
    own = "ansi_default"
    return Theme(
        name=name,
        primary=primary,
        secondary=secondary,
        accent=accent,
        success=success,
        warning=warning,
        error=error,
        foreground=own,
        background=own,
        surface=own,
        panel=own,
        boost=own,
        dark=True,
        ansi=True,
        variables={
            "ansi-background": own,
            "ansi-foreground": own,
            "border": primary,
            "border-blurred": line,
            "block-cursor-foreground": own,
            "block-cursor-background": own,
            "block-cursor-text-style": "reverse",
            "block-cursor-blurred-text-style": "bold",
            "input-cursor-background": own,
            "input-cursor-foreground": own,
            "input-cursor-text-style": "reverse",
            "input-selection-background": own,
            "input-selection-foreground": own,
            "text-muted": own,
            "text-disabled": own,
            "scrollbar": line,
            "scrollbar-hover": line,
            "scrollbar-active": primary,
            "scrollbar-background": own,
            "scrollbar-background-hover": own,
            "scrollbar-background-active": own,
        },
    )


_BRIGHT = (
    "ansi_bright_blue",
    "ansi_bright_magenta",
    "ansi_bright_cyan",
    "ansi_bright_green",
    "ansi_bright_yellow",
    "ansi_bright_red",
)

THEMES: tuple[Theme, ...] = (
    made(
        DARK,
        ("#14181d", "#191e25", "#252d37"),
        "#3d4855",
        ("#d7dce2", "#98a5b3"),
        ("#6cb2ea", "#a3b1c6", "#7fd1b9", "#7fd18b", "#e6b455", "#f08a92"),
    ),
    made(
        LIGHT,
        ("#fbfaf7", "#f3f2ee", "#e7e6e1"),
        "#bdbbb3",
        ("#1d242c", "#59636e"),
        ("#15598f", "#4a5a70", "#0a6353", "#1a6b2c", "#7a4e00", "#a3222b"),
        dark=False,
    ),
    made(
        CONTRAST,
        ("#000000", "#000000", "#2a2a2a"),
        "#9a9a9a",
        ("#ffffff", "#e0e0e0"),
        ("#5cc8ff", "#ffb3ff", "#ffe600", "#5cff7a", "#ffb84d", "#ff9b9b"),
    ),
    made(
        "catppuccin",
        ("#1e1e2e", "#181825", "#313244"),
        "#51546b",
        ("#cdd6f4", "#a6adc8"),
        ("#89b4fa", "#b4befe", "#94e2d5", "#a6e3a1", "#f9e2af", "#f38ba8"),
    ),
    made(
        "gruvbox",
        ("#282828", "#1d2021", "#3c3836"),
        "#665c54",
        ("#ebdbb2", "#bdae93"),
        ("#83a598", "#d3b5c3", "#8ec07c", "#b8bb26", "#fabd2f", "#ff8a75"),
    ),
    made(
        "nord",
        ("#2e3440", "#2a303b", "#3b4252"),
        "#5f6b82",
        ("#eceff4", "#b8c2d2"),
        ("#88c0d0", "#a9bfd9", "#a3d0cf", "#b3cea0", "#ebcb8b", "#f0a5ac"),
    ),
    made(
        "tokyo-night",
        ("#1a1b26", "#16161e", "#292e42"),
        "#474e6d",
        ("#c0caf5", "#9aa5ce"),
        ("#7aa2f7", "#bb9af7", "#7dcfff", "#9ece6a", "#e0af68", "#f78c9f"),
    ),
    made(
        "rose-pine",
        ("#191724", "#1f1d2e", "#2f2c43"),
        "#524f67",
        ("#e0def4", "#a8a4c0"),
        ("#9ccfd8", "#c4a7e7", "#ebbcba", "#8fc7b0", "#f6c177", "#f08aa5"),
    ),
    _ansi(
        TERMINAL,
        "ansi_bright_black",
        _BRIGHT,
    ),
    _ansi(MONO, "ansi_default", ("ansi_default",) * 6),
)

NAMES = tuple(theme.name for theme in THEMES)

TRUE_COLOURS = 1 << 24
FEW_COLOURS = 16
ALWAYS_TRUE = (
    "alacritty",
    "contour",
    "foot",
    "ghostty",
    "kitty",
    "wezterm",
    "xterm-direct",
    "xterm-ghostty",
    "xterm-kitty",
)
"""Values of TERM that stand for true colours even where nothing else says so, as after `ssh`."""


def colours(environment: Mapping[str, str]) -> int:
    """How many colours the terminal shows: 16, 256 or all. Without a name it is no terminal, and shows all."""
    terminal = environment.get("TERM", "")
    if not terminal or terminal in ALWAYS_TRUE or environment.get("COLORTERM", "") in ("truecolor", "24bit"):
        return TRUE_COLOURS
    return 256 if terminal.endswith("-256color") else FEW_COLOURS


def no_pictures(theme: str, environment: Mapping[str, str], *, plain: bool) -> str:
    """Return why no picture is drawn in a theme, in a few words; "" if they are. plain: signs are ASCII."""
    if environment.get("NO_COLOR") or theme == MONO:
        return "not shown without colours"
    if colours(environment) == FEW_COLOURS:
        return "not shown in 16 colours"
    return "not shown with ASCII signs" if plain else ""


def chosen(kept: str, environment: Mapping[str, str]) -> str:
    """The theme to begin with: without our colours where NO_COLOR asks for it or the terminal has sixteen, which no
    theme of true colours survives; else the kept one, else the dark one.
    """
    if environment.get("NO_COLOR"):
        return MONO
    if colours(environment) == FEW_COLOURS and kept != MONO:
        return TERMINAL
    return kept if kept in NAMES else DARK
