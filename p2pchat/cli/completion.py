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
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
"""Arguments that are a contact or a chat. M is a member of the chat before it."""
_MAX_MEMBERS = 100
"""The most members that are proposed."""

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
        found = _positional(context, verb, before, rest, current)
    return sorted(word for word in found if word.casefold().startswith(current.casefold()))


def _takes_value(option: options.Opt) -> bool:
    return option.settings.get("action") in (None, "append")


def _positional(context: Context, verb: Verb, before: list[str], rest: list[str], current: str) -> list[str]:
    valued = {flag for option in (*options.GLOBAL, *verb.opts) if _takes_value(option) for flag in option.flags}
    given = [word for at, word in enumerate(rest) if not (word.startswith("-") or (at and rest[at - 1] in valued))]
    if len(given) >= len(verb.args) and not (verb.args and verb.args[-1].each):
        return []
    arg = verb.args[min(len(given), len(verb.args) - 1)]
    if arg.name == "M":
        return _members(context, before, given[0], current)
    if arg.name in _NAMED:
        return _names(context, before, chats=arg.name == "CHAT", groups=verb.name.startswith("group "))
    return list(arg.choices)


def _names(context: Context, before: list[str], *, chats: bool, groups: bool = False) -> list[str]:
    """Return the names of all contacts as they are called here, or of all `chats`, or of those that are `groups`."""
    found = _ask(context, before, "chats" if chats else "contacts") or []
    if chats and groups:
        return _shown([each for each in found if each["kind"] == "group"])
    named = _shown([each for each in found if each["state"] != "notes"])
    return [*named, _NOTES] if chats else named


def _members(context: Context, before: list[str], chat: str, current: str) -> list[str]:
    """Return the names of the members of a group in which `current` appears; the ids of the first ones if there are
    none, so that an id can be completed too.
    """
    for search in (current, "") if current else ("",):
        answer = _ask(context, before, "group_members", chat=chat, search=search, limit=_MAX_MEMBERS)
        if answer and answer["members"]:
            members: list[dict[str, Any]] = answer["members"]
            return _shown(members) if search == current else [member["id"] for member in members]
    return []


def _shown(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names; the id for a name that a terminal would not show unchanged, or that several have."""
    times = Counter(each["name"] for each in found)
    alone = [each["name"].isprintable() and times[each["name"]] == 1 for each in found]
    return [each["name"] if named else each["id"] for each, named in zip(found, alone, strict=True)]


def _ask(context: Context, before: list[str], method: str, **params: Any) -> Any:
    """Return what a running, unlocked node answers; None without one."""
    from p2pchat.api.client import Client

    profile = context.profile
    if "--profile" in before[:-1]:
        profile = Profile(Path(before[before.index("--profile") + 1]))
    try:
        with Client.connect(profile, start_node=False) as client:
            return client.call(method, **params) if client.greeting.get("state") == "ready" else None
    except (errors.P2PChatError, OSError):
        return None


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
