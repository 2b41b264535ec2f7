"""The verb completion, for shells.

A shell's script calls `p2pchat completion words` with the words up to the cursor on stdin, one per line, and gets the
possible completions, one per line. Names of contacts come from the node, if one is running and unlocked: pressing Tab
starts no node. Where there are none, as behind --file, the shell completes names of files. Peers chose the names of
contacts: the scripts never evaluate them, and quote them for bash.
"""

from __future__ import annotations

import contextlib
import sys
from argparse import Namespace
from pathlib import Path

from p2pchat import errors
from p2pchat.cli import options
from p2pchat.cli.context import Context
from p2pchat.cli.main import MODULES, find
from p2pchat.cli.options import Arg, Verb
from p2pchat.locations import Profile

MAX_LINE = 64 << 10
"""The most bytes of a command line that are read."""
_NOTES = "notes"
"""The chat with oneself, which may not be in the list yet."""
_NAMED = ("C", "CHAT")
"""Arguments that are a contact or a chat."""

SCRIPTS = {
    "bash": r"""_p2pchat() {
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("$(printf '%q' "$word")")
    done < <(printf '%s\n' "${COMP_WORDS[@]:1:COMP_CWORD}" | p2pchat completion words 2>/dev/null)
}
complete -o default -F _p2pchat p2pchat
""",
    "zsh": r"""#compdef p2pchat
_p2pchat() {
    local -a found
    found=("${(@f)$(printf '%s\n' "${(@)words[2,CURRENT]}" | p2pchat completion words 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then
        compadd -a found
    else
        _files
    fi
}
compdef _p2pchat p2pchat
""",
    "fish": r"""function __p2pchat_words
    set -l before (commandline -opc)
    set -l found (printf '%s\n' $before[2..] (commandline -ct) | p2pchat completion words 2>/dev/null)
    if set -q found[1]
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c p2pchat -f -a '(__p2pchat_words)'
""",
}


def completion(context: Context, args: Namespace) -> int:
    """Print a shell's script, or the completions at the cursor."""
    if args.shell != "words":
        context.out.stdout.write(SCRIPTS[args.shell])
        return 0
    typed = sys.stdin.buffer.read(MAX_LINE).decode("utf-8", "replace").removesuffix("\n").split("\n")
    for word in candidates(context, typed):
        context.out.line(word)
    return 0


def candidates(context: Context, typed: list[str]) -> list[str]:
    """Return the completions for the last of these words, which may be incomplete."""
    *before, current = typed
    name, rest = options.find_verb(before)
    verb = None if name not in MODULES else find(name)
    if verb is not None:
        with contextlib.suppress(errors.UsageError):
            verb, rest = options.chosen(verb, rest)
    allowed = (*options.GLOBAL, *(verb.opts if verb else ()))
    last = next((option for option in allowed if before and before[-1] in option.flags), None)
    if last is not None and _takes_value(last):
        found = [str(choice) for choice in last.settings.get("choices", ())]
        if last.settings.get("metavar") in _NAMED:
            found = _names(context, before, chats=last.settings["metavar"] == "CHAT")
    elif current.startswith("-"):
        found = [flag for option in allowed for flag in option.flags]
    elif verb is None:
        found = list(MODULES)
    elif verb.actions:
        found = [] if rest else [action.name.partition(" ")[2] for action in verb.actions]
    else:
        found = _positional(context, verb, before, rest)
    return sorted(word for word in found if word.casefold().startswith(current.casefold()))


def _takes_value(option: options.Opt) -> bool:
    return option.settings.get("action") in (None, "append")


def _positional(context: Context, verb: Verb, before: list[str], rest: list[str]) -> list[str]:
    valued = {flag for option in (*options.GLOBAL, *verb.opts) if _takes_value(option) for flag in option.flags}
    place = sum(not word.startswith("-") and not (at and rest[at - 1] in valued) for at, word in enumerate(rest))
    if place >= len(verb.args) and not (verb.args and verb.args[-1].each):
        return []
    arg = verb.args[min(place, len(verb.args) - 1)]
    return _names(context, before, chats=arg.name == "CHAT") if arg.name in _NAMED else list(arg.choices)


def _names(context: Context, before: list[str], *, chats: bool) -> list[str]:
    """Return the names of all contacts as they are called here, or of all `chats`; the id for a name that a terminal
    would not show unchanged.
    """
    from p2pchat.api.client import Client

    profile = context.profile
    if "--profile" in before[:-1]:
        profile = Profile(Path(before[before.index("--profile") + 1]))
    try:
        with Client.connect(profile, start_node=False) as client:
            if client.greeting.get("state") != "ready":
                return []
            found = client.call("chats" if chats else "contacts")
    except (errors.P2PChatError, OSError):
        return []
    named = [each["name"] if each["name"].isprintable() else each["id"] for each in found if each["state"] != "notes"]
    return [*named, _NOTES] if chats else named


VERBS = (
    Verb(
        "completion",
        "print a shell's completion script",
        completion,
        (
            Arg(
                "SHELL",
                "bash, zsh or fish (`words` is for the scripts themselves)",
                choices=("bash", "zsh", "fish", "words"),
            ),
        ),
        notes="For bash put `source <(p2pchat completion bash)` into ~/.bashrc; for zsh the same, with zsh, into "
        "~/.zshrc; for fish save it as ~/.config/fish/completions/p2pchat.fish. Names complete while the node runs.",
        example="p2pchat completion bash",
    ),
)
