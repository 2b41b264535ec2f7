"""The manual page p2pchat(1), made from the same table as the help: `python -m p2pchat.cli.manual`.

`make man` writes it into `p2pchat.1` beside this file, from where it is installed; a test keeps the two equal. It has
no date, so that the same table gives the same page.
"""

from __future__ import annotations

import re
from argparse import SUPPRESS
from collections.abc import Iterator

from p2pchat import __version__
from p2pchat.cli.main import GROUPS, find
from p2pchat.cli.options import GLOBAL, Arg, Opt, Verb

_EXIT = (
    ("0", "Success."),
    ("1", "Failure."),
    (
        "2",
        "The command line is not valid: for example an unknown option, or a name that matches nobody "
        "or several people.",
    ),
    ("3", "Nobody was reached in time; what was sent stays queued."),
    ("4", "The profile is locked, the passphrase is wrong, or another node uses the profile."),
    ("5", "The other side refused."),
)
_ENVIRONMENT = (
    ("P2PCHAT_PROFILE", "The profile's folder, where --profile is not given."),
    ("NO_COLOR", "If it is set, nothing is coloured."),
    ("VISUAL, EDITOR", "The editor that the screen opens for writing a message."),
)


def document() -> str:
    """Return the page, in the man macros of roff."""
    lines = [
        f'.TH P2PCHAT 1 "" "p2pchat {__version__}" "User Commands"',
        ".SH NAME",
        r"p2pchat \- private messages between peers, in a terminal",
        ".SH SYNOPSIS",
        ".B p2pchat",
        ".br",
        r".B p2pchat",
        r"\fIVERB\fR [\fIARGUMENT\fR ...] [options]",
        ".SH DESCRIPTION",
        *_text(
            "Without a verb, p2pchat opens the screen, which guides you through the first steps. "
            "Each verb does one thing."
        ),
        *_text("Options and arguments may come in any order; everything after -- is an argument."),
        *_text("The protocol has had no independent review: do not stake anybody's safety on it yet."),
    ]
    for title, modules in GROUPS:
        lines.append(f'.SH "VERBS: {_escaped(title.upper())}"')
        for verb in (find(name) for verbs in modules.values() for name in verbs):
            for each in verb.actions or (verb,):
                lines += _verb(each)
    lines.append(".SH GLOBAL OPTIONS")
    for option in GLOBAL:
        lines += _option(option)
    for heading, rows in (("EXIT STATUS", _EXIT), ("ENVIRONMENT", _ENVIRONMENT)):
        lines.append(f".SH {heading}")
        for term, says in rows:
            lines += [".TP", f".B {_escaped(term)}", *_text(says)]
    return "\n".join(lines) + "\n"


def _verb(verb: Verb) -> Iterator[str]:
    yield ".TP"
    names = "".join(f" {_argument(arg)}" for arg in verb.args)
    yield rf"\fBp2pchat {_escaped(verb.name)}\fR{names}{' [options]' if verb.opts else ''}"
    yield from _text(f"{verb.help[:1].upper()}{verb.help[1:]}.")
    if verb.notes:
        yield from _text(verb.notes)
    yield ".RS"
    for arg in verb.args:
        yield from (".TP", rf"\fI{_escaped(arg.name)}\fR", *_text(arg.help))
    for option in verb.opts:
        yield from _option(option)
    if verb.example:
        yield from (".PP", "Example:", ".br", f".B {_escaped(verb.example)}")
    yield ".RE"


def _argument(arg: Arg) -> str:
    name = rf"\fI{_escaped(arg.name)}\fR{' ...' * (arg.many or arg.each)}"
    return name if arg.required else f"[{name}]"


def _option(option: Opt) -> Iterator[str]:
    if option.settings["help"] == SUPPRESS:
        return
    value = option.settings.get("metavar") or "|".join(map(str, option.settings.get("choices", ())))
    if not value and option.settings.get("action") in (None, "append"):
        value = option.flags[-1].lstrip("-").upper()
    flags = ", ".join(rf"\fB{_escaped(flag)}\fR" for flag in option.flags)
    yield from (".TP", flags + (rf" \fI{_escaped(value)}\fR" if value else ""), *_text(option.settings["help"]))


def _text(words: str) -> Iterator[str]:
    """A paragraph, on one line; roff fills it."""
    yield _escaped(" ".join(words.split()))


def _escaped(words: str) -> str:
    """Words as roff prints them: it would take a dash for a hyphen, obey a line that begins with a dot, and know no
    letters but those of ASCII.
    """
    escaped = words.replace("\\", r"\e").replace("-", r"\-")
    escaped = "".join(char if char.isascii() else rf"\[u{ord(char):04X}]" for char in escaped)
    return re.sub(r"^([.'])", r"\\&\1", escaped)


if __name__ == "__main__":
    import sys

    sys.stdout.write(document())
