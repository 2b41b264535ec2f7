"""An app that finds its themes quickly, and has one before its styles are read."""

from __future__ import annotations

from typing import Any

from textual.app import App
from textual.theme import Theme

from p2pchat import errors


class ThemedApp(App[errors.P2PChatError]):
    """The app as far as themes are concerned."""

    def __init__(self, **settings: Any) -> None:
        self._themes: dict[str, Theme] = {}  # Textual registers its own before anything else
        self._begun = False
        super().__init__(**settings)

    def register_theme(self, theme: Theme) -> None:
        """Register a theme, also where it is found at once."""
        super().register_theme(theme)
        self._themes[theme.name] = theme

    def get_theme(self, theme_name: str) -> Theme | None:
        """Return the theme of that name. Textual copies all of them for each look, and each widget drawn is a few."""
        return self._themes.get(theme_name) or super().get_theme(theme_name)

    def get_css_variables(self) -> dict[str, str]:
        """Return the colours of the theme; none before the first theme, for which no style is read."""
        return super().get_css_variables() if self._begun else {}

    def begin_with_theme(self, name: str) -> None:
        """Take the first theme, before any style is read. Set as a theme is set, all styles would be read twice before
        the first picture.
        """
        self._begun = True
        theme = self.get_theme(name)
        if theme is None or theme.ansi or not theme.dark or self.no_color:
            self.stylesheet.set_variables(self.get_css_variables())
            self.theme = name  # what Textual has made up to here is for a dark theme of many colours
            return
        self.set_reactive(App.theme, name)
        self.stylesheet.set_variables(self.get_css_variables())
