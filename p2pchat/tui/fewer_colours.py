"""The themes of true colours in a terminal that has 256: the nearest of those that stay readable.

Left to itself, the drawing library takes for each colour the one beside it, whatever that does: dark greys with a touch
of blue become a strong blue, and a quiet text falls below what can be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.theme import Theme

from p2pchat.tui import themes

PALETTE: dict[str, tuple[int, ...]] = {
    themes.DARK: (234, 234, 236, 238, 253, 248, 74, 146, 115, 114, 179, 210),
    themes.LIGHT: (231, 255, 254, 250, 235, 241, 24, 240, 23, 22, 58, 124),
    themes.CONTRAST: (16, 16, 235, 247, 231, 254, 81, 219, 220, 84, 214, 210),
    "catppuccin": (234, 234, 236, 240, 189, 146, 111, 147, 116, 150, 223, 211),
    "gruvbox": (235, 234, 237, 241, 187, 144, 109, 181, 108, 142, 214, 209),
    "nord": (236, 236, 238, 60, 255, 251, 116, 146, 152, 151, 222, 217),
    "tokyo-night": (234, 233, 236, 60, 153, 146, 111, 147, 117, 149, 179, 211),
    "rose-pine": (234, 234, 236, 239, 189, 146, 152, 183, 181, 115, 215, 211),
}
"""For each theme the numbers of its colours, as xterm counts them, in this order: three grounds (of the conversation,
beside or over it, of what is chosen), lines, text, quiet text, primary, secondary, accent, success, warning, error.
"""


def colour(number: int) -> str:
    """A colour that becomes this one of the 256, 16 to 255; a grey is one in the middle of what is rounded to it."""
    if number >= 232:
        level = round((number - 231) / 25 * 255)
        return f"#{level:02x}{level:02x}{level:02x}"
    red, rest = divmod(number - 16, 36)
    return "#" + "".join(f"{step * 40 + 55 if step else 0:02x}" for step in (red, *divmod(rest, 6)))


def fewer(theme: Theme) -> Theme:
    """The theme in 256 colours; one of the terminal's own colours as it is."""
    if theme.name not in PALETTE:
        return theme
    ground, over, chosen, line, text, quiet, *colours = map(colour, PALETTE[theme.name])
    primary, secondary, accent, success, warning, error = colours
    return themes.made(
        theme.name,
        (ground, over, chosen),
        line,
        (text, quiet),
        (primary, secondary, accent, success, warning, error),
        dark=theme.dark,
        selection=chosen,
    )


def registered(environment: Mapping[str, str]) -> Sequence[Theme]:
    """The themes in as many colours as the terminal shows."""
    if themes.colours(environment) != 256:
        return themes.THEMES
    return [fewer(theme) for theme in themes.THEMES]
