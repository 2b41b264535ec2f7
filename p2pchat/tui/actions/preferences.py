"""What the app does with the person's preferences: keep them, read them again, and let the screen follow."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from p2pchat import errors
from p2pchat.lib import toml_lines
from p2pchat.lib.times import seconds_or_off
from p2pchat.tui import desktop, preferences, terminal, themes
from p2pchat.tui.keymap import Keymap
from p2pchat.tui.node_client import READY
from p2pchat.tui.preferences import KEYS, Preferences, Value
from p2pchat.tui.text import MARKS, PLAIN_MARKS

if TYPE_CHECKING:
    from p2pchat.tui.base import BaseApp
    from p2pchat.tui.screens.settings import SettingsScreen

REDUCED_MOTION = "P2PCHAT_REDUCED_MOTION"
"""Set to anything: nothing moves or blinks, unless the preferences say otherwise. So does TEXTUAL_ANIMATIONS=none."""


_NONE = "none"
"""The word for a setting that is empty."""


class PreferenceActions:
    """The app's hands for `screen.toml`."""

    def __init__(self, app: BaseApp) -> None:
        self._app = app
        self._stamp = preferences.stamp(app.profile.folder)
        self._page: SettingsScreen | None = None
        self._said: tuple[str, ...] = ()
        self._problems: tuple[str, ...] = ()

    # --- reading

    def begin(self) -> None:
        """Let the screen be as the file wants it, and say what is wrong in that."""
        self._stamp = preferences.stamp(self._app.profile.folder)
        self._follow(None, self._app.loaded.preferences)
        self._tell(self._app.loaded.problems)

    def reload(self) -> None:
        """Read the file again where it has changed."""
        now = preferences.stamp(self._app.profile.folder)
        if now != self._stamp:
            self._stamp = now
            before = self._app.preferences
            loaded = preferences.read(self._app.profile.folder, before)
            self._follow(before, loaded.preferences)
            self._tell(loaded.problems)

    def _tell(self, problems: tuple[str, ...]) -> None:
        """Say what is wrong in the file, once."""
        folder, said = self._app.profile.folder, self._app.keymap.problems
        if said:
            text = preferences.text_of(folder)
            problems += tuple(
                f"{preferences.FILE}, line {toml_lines.line_of(text, each.action, KEYS)}: {each.action}: {each.says}"
                for each in said
            )
        self._problems = problems
        for problem in problems:
            if problem not in self._said:
                self._app.say(problem, "warning")
        self._said = problems
        if self._page is not None:
            self._page.renew()

    def _follow(self, before: Preferences | None, now: Preferences) -> None:
        """Change what looks or works otherwise now."""
        app, main = self._app, self._app.main
        app.preferences = now

        def is_new(*names: str) -> bool:
            return before is None or any(getattr(before, name) != getattr(now, name) for name in names)

        if is_new("keys", "enter_sends"):
            app.keymap = Keymap(now.keys, enter_sends=now.enter_sends)
            app.set_keymap(app.keymap.for_textual())
            main.bind(app.keymap)
            app.reader.refresh_status()
        if is_new("do_not_disturb", "quiet_hours"):
            app.reader.refresh_status()
        if is_new("motion"):
            self._move(now.motion)
        if is_new("mouse"):
            app.use_mouse(now.mouse)
        if before is None:
            return  # the screen was made as it should be
        if is_new("theme"):
            app.theme = now.theme if now.theme and not app.no_color else themes.chosen(now.theme, os.environ)
        if is_new("signs", "clock", "density", "rtl", "theme"):
            main.conversation.restyle(
                compact=now.density == preferences.COMPACT,
                marks=MARKS if app.draws_unicode else PLAIN_MARKS,
                plain=not app.draws_unicode,
                pictures=themes.no_pictures(app.theme, os.environ, plain=not app.draws_unicode),
                rtl=now.rtl,
                twelve=app.twelve_hours,
            )
            main.chat_list.use_twelve_hours(app.twelve_hours)
        if is_new("rtl"):
            app.write_to_terminal(terminal.BIDI_OURS if app.turns_text else terminal.BIDI_THEIRS)
        if is_new("signs"):
            app.action_redraw()
        if is_new("folded"):
            main.fold(now.folded)

    def _move(self, motion: str) -> None:
        asked = os.environ.get(REDUCED_MOTION) or os.environ.get("TEXTUAL_ANIMATIONS") == "none"
        still = motion == preferences.REDUCED or (motion == preferences.AUTO and bool(asked))
        self._app.animation_level = "none" if still else "full"
        self._app.main.composer.cursor_blink = not still

    # --- changing

    def change(self, name: str, value: Value) -> None:
        """Set one thing, and keep it in the file."""
        app, folder = self._app, self._app.profile.folder
        before = app.preferences
        now = preferences.changed(before, name, value)
        self._follow(before, now)
        if app.profile.exists():
            try:
                preferences.keep(folder, now, name)
            except preferences.NotWritten as exc:
                app.say(f"That lasts only until p2pchat is closed: {exc}.", "warning")
            self._stamp = preferences.stamp(folder)
        if self._page is not None:
            self._page.renew()

    async def silence(self, wanted: str) -> None:
        """Run /dnd [on|off|TIME]: call nobody from now on, or for so long; without a word, the other way round."""
        app = self._app
        if not wanted:
            wanted = "off" if app.notifier.says else "on"
        try:
            seconds = 0 if wanted == "on" else seconds_or_off(wanted)
        except ValueError:
            app.say(f"{wanted} is neither on nor off nor a time such as 30m or 2h.", "warning")
            return
        app.notifier.silence(seconds or None)
        if app.preferences.do_not_disturb is not (wanted == "on"):
            self.change("do_not_disturb", wanted == "on")
        app.reader.refresh_status()
        if app.notifier.says:
            app.say(f"No bell and no notifications: {app.notifier.says}. /dnd off ends that.")
        else:
            app.say("Bell and notifications are on.")

    # --- the page

    async def set(self, rest: str) -> None:
        """Run /settings [SETTING VALUE]: change one setting, or show all. Without a value, say what a setting is: to
        empty it has to be meant, and `none` says it, as the answer does.
        """
        name, _, typed = rest.partition(" ")
        typed = typed.strip()
        setting = preferences.BY_NAME.get(name.casefold())
        if not name:
            await self.show()
        elif setting is None:
            self._app.say(f"There is no setting {name}. /settings shows all of them.", "warning")
        elif not typed:
            self._say_value(setting)
        else:
            value = setting.read("" if typed.casefold() == _NONE else typed)
            if value is None:
                words = " or ".join(filter(None, map(preferences.worded, setting.choices))) or setting.shape
                self._app.say(f"{setting.name} can be {words}.", "warning")
            else:
                self.change(setting.name, value)
                self._say_value(setting)

    def _say_value(self, setting: preferences.Setting) -> None:
        value = getattr(self._app.preferences, setting.name)
        self._app.say(f"{setting.name}: {preferences.worded(value) or _NONE}")

    async def show(self) -> None:
        """Show everything that can be set, and change it."""
        from p2pchat.tui.screens.settings import SettingsScreen, SettingsSource

        app = self._app
        source = SettingsSource(lambda: app.preferences, lambda: self._problems, self.change, self._change_node)
        if app.node.state == READY:
            try:
                source.node = await app.node.call("settings")
            except errors.P2PChatError as exc:
                app.say(app.said(exc), "warning")
        self._source = source
        self._page = SettingsScreen(source)
        try:
            wish = await app.ask(self._page)
        finally:
            self._page = None
        if wish == "edit":
            self.edit_file()

    def _change_node(self, name: str, value: Value | int) -> None:
        self._app.begin(self._tell_node(name, value))

    async def _tell_node(self, name: str, value: Value | int) -> None:
        self._source.node = await self._app.node.call("settings", **{name: value})
        if name == "pictures":
            self._app.main.conversation.files.forget_pictures()
        if self._page is not None:
            self._page.renew()

    def edit_file(self) -> None:
        """Open the file in the person's editor; what they leave there holds at once."""
        app, folder = self._app, self._app.profile.folder
        try:
            path = preferences.file_to_edit(folder)
            app.lend_terminal(partial(desktop.run_editor, os.environ, path))
        except (OSError, preferences.NotWritten) as exc:
            app.say(f"{preferences.FILE} could not be edited: {exc}", "error")
        self.reload()
