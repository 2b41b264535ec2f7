"""Reading a command line.

Global options are taken anywhere: before the verb, after it, between positionals. argparse alone does not do that
(its sub-parsers overwrite what came before the verb, and options split positionals), so it only reads the options
here: first the verb is found, then one parser reads all options, global ones and the verb's, and what it leaves over
are the positionals, bound by hand. After `--` everything is a positional.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from p2pchat import errors
from p2pchat.lib.times import parse_duration, seconds_or_off

if TYPE_CHECKING:
    from p2pchat.cli.context import Context

_TAKES_VALUE = ("--profile", "--passphrase-file")
COLUMNS = 80
"""The width of a verb's help."""


class Arg(NamedTuple):
    """A positional argument of a verb: its name and its help."""

    name: str
    help: str
    required: bool = True
    choices: tuple[str, ...] = ()
    many: bool = False
    """Whether it takes all remaining words, as one text with spaces between them."""
    each: bool = False
    """Whether it takes all remaining words, as a list."""


class Opt(NamedTuple):
    """An option: its flags and argparse's settings for it."""

    flags: tuple[str, ...]
    settings: dict[str, Any]
    required: bool = False
    many: bool = False
    """Whether it takes all words up to the next option; its action is `append`."""


def opt(*flags: str, required: bool = False, many: bool = False, **settings: Any) -> Opt:
    """An option, written like argparse's add_argument."""
    return Opt(flags, settings, required, many)


class Verb(NamedTuple):
    """One verb of the command line."""

    name: str
    help: str
    run: Callable[[Context, argparse.Namespace], int]
    args: tuple[Arg, ...] = ()
    opts: tuple[Opt, ...] = ()
    notes: str = ""
    example: str = ""
    """A command line that works as it is, except for names and ids."""
    actions: tuple[Verb, ...] = ()
    """Verbs of two words, such as `group add`, each with arguments, options and help of its own. A verb with actions
    has neither arguments nor options, and does nothing without one of them.
    """


GLOBAL = (
    opt("--profile", metavar="DIR", help="the profile folder (or P2PCHAT_PROFILE; default: in your data folder)"),
    opt("--json", action="store_true", help="machine-readable output on stdout, one JSON object per line"),
    opt("--passphrase-file", metavar="F", help="read the passphrase from this file (- is stdin)"),
    opt("-v", "--verbose", action="count", default=0, help="print more detail; -vv prints tracebacks"),
    opt("--version", action="store_true", help="print the version"),
    opt("-h", "--help", action="store_true", help="this help"),
)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help of a fixed width, whatever the terminal's: it fits 80 columns, and is the same in a pipe."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=COLUMNS)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise errors.UsageError(message[:1].upper() + message[1:], hint=f"`{self.prog} --help` shows how.")


def find_verb(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the verb of a command line and the line without it; None if there is none."""
    skip = False
    for index, word in enumerate(argv):
        if skip:
            skip = False
        elif word in _TAKES_VALUE:
            skip = True
        elif word == "--":
            break
        elif not word.startswith("-"):
            return word, [*argv[:index], *argv[index + 1 :]]
    return None, list(argv)


def chosen(verb: Verb, words: Sequence[str]) -> tuple[Verb, list[str]]:
    """Return the action that a line without its verb names, and the line without it; the verb itself if it has no
    actions, or none is named. Raises UsageError if there is no such action.
    """
    name, rest = find_verb(words) if verb.actions else (None, list(words))
    if name is None:
        return verb, list(words)
    for action in verb.actions:
        if action.name == f"{verb.name} {name}":
            return action, rest
    raise errors.UsageError(
        f"There is no {verb.name} {name}", hint=f"`p2pchat {verb.name} --help` lists what there is."
    )


def with_actions(name: str, text: str, actions: Sequence[Verb]) -> Verb:
    """Return the verb to which these actions belong. `text`: its help."""

    def run(_context: Context, _arguments: argparse.Namespace) -> int:
        known = ", ".join(action.name.partition(" ")[2] for action in actions)
        raise errors.UsageError(
            f"What is {name} to do?", hint=f"One of {known}; `p2pchat {name} --help` explains them."
        )

    return Verb(name, text, run, actions=tuple(actions), example=actions[0].example)


def read(verb: Verb | None, words: Sequence[str]) -> argparse.Namespace:
    """Return the options and positionals of a line without its verb. Raises UsageError.

    After --help or --version nothing else is checked, and positionals may be missing.
    """
    parser = _parser(verb)
    given, positionals = _split(parser, verb, words)
    parsed = parser.parse_args(given)
    if parsed.help or parsed.version:
        return parsed
    for option in verb.opts if verb else ():
        # argparse would insist on it before it looked for --help.
        if option.required and getattr(parsed, option.flags[-1].lstrip("-").replace("-", "_")) is None:
            parser.error(f"{option.flags[-1]} is missing")
    _bind(parser, verb.args if verb else (), positionals, parsed)
    return parsed


def help_text(verb: Verb) -> str:
    """Return the text that `p2pchat VERB --help` prints."""
    return _parser(verb).format_help()


def duration(text: str) -> float:
    """Return the seconds of a duration as `lib.times` reads it; the type of an argument."""
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def timed(text: str) -> int:
    """Return the whole seconds of a duration, 0 for `off`, given as a positional. Raises UsageError."""
    try:
        return seconds_or_off(text)
    except ValueError:
        raise errors.UsageError(f"{text} is neither off nor a time such as 30s, 5m, 2h or 7d") from None


def count(text: str) -> int:
    """Return a number of things, at least one."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def _parser(verb: Verb | None) -> _Parser:
    parser = _Parser(
        prog=f"p2pchat {verb.name}" if verb else "p2pchat",
        usage=_usage(verb) if verb else None,
        description=_description(verb) if verb else None,
        epilog=_epilog(verb) if verb else None,
        formatter_class=_Formatter,
        add_help=False,
        allow_abbrev=False,
    )
    if verb and verb.opts:
        own = parser.add_argument_group("options")
        for option in verb.opts:
            own.add_argument(*option.flags, **option.settings)
    shared = parser.add_argument_group("global options, anywhere on the line")
    for option in GLOBAL:
        shared.add_argument(*option.flags, **option.settings)
    return parser


def _usage(verb: Verb) -> str:
    if verb.actions:
        return f"p2pchat {verb.name} ACTION ..."
    names = [_shown(arg) for arg in verb.args]
    return " ".join(["p2pchat", verb.name, *names, "[options]" if verb.opts else ""]).rstrip()


def _shown(arg: Arg) -> str:
    name = arg.name + "..." * (arg.many or arg.each)
    return name if arg.required else f"[{name}]"


def _description(verb: Verb) -> str:
    lines = [_wrapped(verb.help)]
    explained = [(arg.name, arg.help) for arg in verb.args]
    explained += [(action.name.partition(" ")[2], action.help) for action in verb.actions]
    if explained:
        width = max(len(name) for name, _ in explained)
        lines += ["", *(_wrapped(text, f"  {name:<{width}}  ", " " * (width + 4)) for name, text in explained)]
    return "\n".join(lines)


def _epilog(verb: Verb) -> str:
    notes = verb.notes or (f"`p2pchat {verb.name} ACTION --help` explains one of them." if verb.actions else "")
    return "\n\n".join([*([_wrapped(notes)] if notes else []), f"example:\n  {verb.example}"])


def _wrapped(text: str, first: str = "", further: str = "") -> str:
    return textwrap.fill(
        text, COLUMNS, initial_indent=first, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )


def _split(parser: _Parser, verb: Verb | None, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tell options from positionals; each option is given to argparse whole, its value joined to it.

    argparse itself takes `-hi` for `-h -i` and `-hi there` for help. A word that begins with a dash and is no option is
    an error, except where nobody can mean one: `-`, a negative number, anything with a space in it.
    """
    takes_value = {
        flag: option.settings.get("action") in (None, "append")
        for option in (*GLOBAL, *(verb.opts if verb else ()))
        for flag in option.flags
    }
    many = {flag for option in (verb.opts if verb else ()) if option.many for flag in option.flags}
    given: list[str] = []
    positionals: list[str] = []
    left = iter(words)
    filling: str | None = None  # an option that takes further words
    for word in left:
        flag, equals, _ = word.partition("=")
        is_option = word.startswith("-") and len(word) > 1
        if word == "--":
            positionals += left
        elif takes_value.get(word):
            value = next(left, None)
            if value is None or value in takes_value or (value.startswith("--") and " " not in value):
                parser.error(f"{word} needs a value")
            given.append(f"{word}={value}")
        elif filling is not None and not is_option:
            given.append(f"{filling}={word}")
        elif word in takes_value or re.fullmatch("-v+", word) or (equals and takes_value.get(flag)):
            given.append(word)
        elif not is_option or re.search(r"\s", word) or re.fullmatch(r"-\d+(\.\d+)?", word):
            positionals.append(word)
        else:
            hint = f"`{parser.prog} --help` shows how; put -- before a text that begins with a dash."
            raise errors.UsageError(f"Unknown option {word}", hint=hint)
        if is_option:
            filling = word if word in many else None
    return given, positionals


def _bind(parser: _Parser, args: tuple[Arg, ...], words: list[str], into: argparse.Namespace) -> None:
    if args and args[-1].many and len(words) > len(args):
        words = [*words[: len(args) - 1], " ".join(words[len(args) - 1 :])]
    if args and args[-1].each:
        given = words[len(args) - 1 :]
        words = words[: len(args) - 1]
        setattr(into, args[-1].name.lower(), given)
        if args[-1].required and not given and len(words) == len(args) - 1:
            parser.error(f"{args[-1].name} is missing")
        args = args[:-1]
    for arg, word in zip(args, words, strict=False):
        if arg.choices and word not in arg.choices:
            parser.error(f"{arg.name} is one of {', '.join(arg.choices)}, not {word}")
        setattr(into, arg.name.lower(), word)
    for arg in args[len(words) :]:
        if arg.required:
            parser.error(f"{arg.name} is missing")
        setattr(into, arg.name.lower(), None)
    if len(words) > len(args):
        parser.error(f"Too many arguments, beginning with {words[len(args)]!r}")
