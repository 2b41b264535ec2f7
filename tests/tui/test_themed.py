"""The first theme of the app."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.css.stylesheet import Stylesheet
from textual.design import ColorSystem

from p2pchat.tui import themes
from tests.tui.conftest import opened, run
from tests.tui.fakes import FakeNode


def test_the_styles_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again: list[str] = []
    monkeypatch.setattr(Stylesheet, "reparse", lambda _: again.append("read"))
    mixed, mix = [], ColorSystem.generate

    def mixing(system: ColorSystem) -> dict[str, str]:
        mixed.append(system)
        return mix(system)

    monkeypatch.setattr(ColorSystem, "generate", mixing)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)

    async def main() -> None:
        async with opened(FakeNode(), tmp_path) as (app, _):
            assert app.theme == themes.DARK
            assert app.stylesheet._variables["primary"] == app.theme_variables["primary"]
            assert app.get_theme(themes.DARK) is app.current_theme

    run(main())
    assert again == []
    assert len(mixed) == 1  # the colours of the theme that is shown, and not those of Textual's own before
