"""Global options before and after every verb and between positionals; positionals, `--`, and what is refused."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest

from p2pchat import errors
from p2pchat.cli import manual, options
from p2pchat.cli.main import MODULES, find
from p2pchat.cli.options import Arg, Verb, opt

POSITIONALS = {
    "add": ["P2PCHAT:X"],
    "accept": ["bob"],
    "decline": ["bob"],
    "block": ["bob"],
    "unblock": ["bob"],
    "archive": ["bob"],
    "mute": ["bob", "8h"],
    "chats": ["pin", "bob"],
    "clear": ["bob"],
    "export": ["bob"],
    "files": ["fetch", "ab12"],
    "save": ["ab12"],
    "voice": ["bob"],
    "forget": ["bob"],
    "note": ["bob", "met in Lund"],
    "invites": ["revoke", "1a2b"],
    "rename": ["bob", "rob"],
    "verify": ["bob"],
    "send": ["bob", "hi there"],
    "tail": ["bob"],
    "log": ["bob"],
    "search": ["two words"],
    "completion": ["bash"],
    "read": ["bob", "ab12"],
    "delete": ["ab12"],
    "reply": ["ab12", "hi there"],
    "edit": ["ab12", "hi there"],
    "history": ["ab12"],
    "react": ["ab12", "👍"],
    "pin": ["ab12"],
    "pinned": ["bob"],
    "timer": ["bob", "1w"],
    "why": ["ab12"],
    "node": ["status"],
    "name": ["new name"],
    "settings": ["read_receipts", "yes"],
    "parcel": ["out", "/media/parcel"],
    "channel create": ["news"],
    "channel invite": ["news"],
    "channel show": ["news"],
    "channel report": ["news"],
    "channel relays": ["news", "add", "/ip4/x"],
    "channel comments": ["news", "talk"],
    "channel mirror": ["news", "on"],
    "channel writers": ["news", "add", "bob"],
    "relays": ["add", "/ip4/192.0.2.9/tcp/4001/p2p/12D3KooWA#word"],
    "group create": ["friends", "bob", "Anna L"],
    "group show": ["friends"],
    "group members": ["friends"],
    "group add": ["friends", "bob", "Anna L"],
    "group invite": ["friends"],
    "group requests": ["friends"],
    "group accept": ["friends", "1a2b"],
    "group decline": ["friends", "1a2b"],
    "group remove": ["friends", "bob"],
    "group ban": ["friends", "bob"],
    "group role": ["friends", "bob", "admin"],
    "group hide": ["0198f2a1", "spam"],
    "group report": ["0198f2a1", "spam"],
    "group reports": ["friends"],
    "group mute": ["friends", "bob", "8h"],
    "group set": ["friends", "slow_mode", "30s"],
    "group recover": ["friends", "bob"],
    "group keep": ["friends"],
    "group receipts": ["friends", "yes"],
    "group successor": ["friends", "friends again"],
    "group leave": ["friends"],
    "group log": ["friends"],
}
OWN = {
    "init": ["--name", "alice", "--no-passphrase"],
    "node": [
        *("--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip6/::1/tcp/0", "--relay", "/ip4/192.0.2.9/tcp/4001"),
        *("--proxy", "socks5://127.0.0.1:9050", "--lan", "off"),
    ],
    "invite": ["--reusable", "--ask", "--expires", "2d", "--qr", "--label", "for anna"],
    "add": ["--name", "al", "--wait", "accepted", "--timeout", "5m"],
    "verify": ["--set"],
    "archive": ["--undo"],
    "clear": ["--yes"],
    "export": ["--format", "html", "--to", "f"],
    "forget": ["--history", "--yes"],
    "send": ["--file", "f", "g", "--caption", "c", "--as-is", "--wait", "read", "--timeout", "1h", "--text-file", "f"],
    "files": ["--limit", "7"],
    "save": ["--to", "d", "--timeout", "5m"],
    "voice": ["--from", "f", "--caption", "c", "--wait", "read", "--timeout", "1h"],
    "tail": ["--since", "ab", "--count", "3", "--events", "--theirs"],
    "log": ["--limit", "7", "--since", "2d", "--until", "today", "--around", "ab", "--format", "{text} it"],
    "search": ["--chat", "bob", "--limit", "7"],
    "reply": ["--wait", "read", "--timeout", "1h"],
    "react": ["--undo"],
    "pin": ["--undo"],
    "delete": ["--for-both"],
    "passphrase": ["--new-passphrase-file", "n"],
    "echo": ["--wake"],
    "channel create": ["--private"],
    "channel comments": ["--words", "hello"],
    "parcel": ["--to", "bob", "--to", "carol"],
    "group members": ["--search", "bob", "--limit", "7"],
    "group invite": ["--expires", "2d", "--uses", "10", "--ask", "--role", "observer"],
    "group remove": ["--reason", "spam"],
    "group ban": ["--reason", "spam"],
    "group log": ["--limit", "7", "--before", "ab"],
}
VERBS = [verb.name for name in MODULES for verb in find(name).actions or (find(name),)]
"""Every verb, those of two words by both."""


def table(name: str) -> Verb:
    """The verb of one or two words."""
    first, *second = name.split()
    return options.chosen(find(first), second)[0]


GLOBALS = [["--profile", "/p"], ["--json"], ["--passphrase-file", "f"], ["-v", "-v"]]


def parse(*words: str) -> tuple[str | None, dict[str, object]]:
    name, rest = options.find_verb(words)
    if name is None:
        return None, vars(options.read(None, rest))
    verb, rest = options.chosen(find(name), rest)
    return verb.name, vars(options.read(verb, rest))


def test_the_table_of_verbs_is_what_the_modules_have() -> None:
    promised = """
        init name settings node unlock lock passphrase invite add contacts requests accept decline block unblock rename
        archive mute verify chats export send tail log search read delete why reply edit history react pin pinned timer
        forget note clear files save voice
        group
        channel invites relays relay offer keys parcel doctor salvage echo demo rpc completion
    """
    assert set(MODULES) == set(promised.split())
    for name in MODULES:
        assert find(name).name == name


@pytest.mark.parametrize("verb", VERBS)
def test_global_options_go_anywhere(verb: str) -> None:
    shared = list(itertools.chain(*GLOBALS))
    words, positionals, own = verb.split(), POSITIONALS.get(verb, []), OWN.get(verb, [])
    lines = [
        [*shared, *words, *own, *positionals],
        [*words, *shared, *positionals, *own],
        [*words, *positionals, *own, *shared],
        [*shared[:3], *words, *positionals[:1], *shared[3:], *own, *positionals[1:]],
        [words[0], *shared, *words[1:], *positionals, *own],
        [f"--profile={shared[1]}", *words, *shared[2:], *own, "--", *positionals],
    ]
    found = [parse(*line) for line in lines]
    assert all(each == found[0] for each in found)
    name, values = found[0]
    assert name == verb
    assert (values["profile"], values["json"], values["passphrase_file"], values["verbose"]) == ("/p", True, "f", 2)


@pytest.mark.parametrize("verb", VERBS)
def test_without_global_options_they_have_their_defaults(verb: str) -> None:
    _, values = parse(*verb.split(), *OWN.get(verb, []), *POSITIONALS.get(verb, []))
    assert (values["profile"], values["json"], values["passphrase_file"], values["verbose"]) == (None, False, None, 0)


def test_the_promised_example() -> None:
    _, values = parse("send", "bob", "--wait", "read", "hi")
    assert (values["chat"], values["text"], values["wait"]) == ("bob", "hi", "read")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--", "-x"], "-x"),
        (["--", "--json"], "--json"),
        (["--", "--"], "--"),
        (["-1"], "-1"),
        (["- a point"], "- a point"),
        (["-hi there"], "-hi there"),
        (["-v\tand more"], "-v\tand more"),
        (["--json is a format"], "--json is a format"),
        (["-"], "-"),
        ([""], ""),
        (["--", "send"], "send"),
    ],
)
def test_texts_that_look_like_options(words: list[str], text: str) -> None:
    _, values = parse("--json", "send", "bob", *words)
    assert (values["chat"], values["text"], values["json"]) == ("bob", text, True)


def test_a_value_that_is_named_like_a_verb_is_no_verb() -> None:
    name, values = parse("--profile", "send", "log", "send")
    assert (name, values["profile"], values["chat"]) == ("log", "send", "send")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["send"], "CHAT is missing"),
        (["send", "bob", "hi", "there"], "Too many arguments"),
        (["send", "bob", "-x"], "put -- before"),
        (["send", "bob", "-hi"], "put -- before"),
        (["send", "bob", "-vh"], "put -- before"),
        (["rename", "bob", "-h-"], "put -- before"),
        (["send", "bob", "--json=x", "hi"], "put -- before"),
        (["log", "bob", "--search", "--json"], "needs a value"),
        (["send", "bob", "--wai", "read"], "Unknown option --wai"),
        (["send", "bob", "--wait", "seen"], "invalid choice"),
        (["send", "bob", "--timeout", "soon"], "30s, 5m"),
        (["send", "bob", "--timeout", "-1"], "30s"),
        (["send", "bob", "--timeout", "0"], "30s, 5m"),
        (["send", "bob", "--timeout", "9999999w"], "30s, 5m"),
        (["log", "bob", "--limit", "0"], "number from 1"),
        (["node", "restart"], "one of status, stop"),
        (["init"], "--name"),
        (["--nothing"], "Unknown option --nothing"),
        (["--profile"], "needs a value"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(words: list[str], why: str) -> None:
    with pytest.raises(errors.UsageError) as caught:
        parse(*words)
    assert re.search(why, caught.value.line())
    assert "\n" not in caught.value.line()


def test_there_is_no_such_verb() -> None:
    with pytest.raises(errors.UsageError, match="no verb fly"):
        parse("fly")


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_everything(verb: str) -> None:
    text = options.help_text(table(verb))
    for word in [*OWN.get(verb, [])[::1], "--profile", "--json"]:
        if word.startswith("--"):
            assert word in text
    assert "SUPPRESS" not in text
    assert "--detached" not in text
    assert "--for-face" not in text
    assert "--serve" not in text


@pytest.mark.parametrize("verb", [*VERBS, *(name for name in MODULES if find(name).actions)])
def test_help_fits_80_columns_and_shows_an_example_that_is_taken(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = options.help_text(table(verb))
    assert [line for line in text.splitlines() if len(line) > 80] == []
    example = table(verb).example
    assert text.endswith(f"example:\n  {example}\n")
    program, *words = shlex.split(example.split(" < ")[0])
    assert program == "p2pchat"
    assert str(parse(*words)[0]).startswith(verb)


def _ran(_context: object, arguments: object) -> int:
    return 0


CLUB = options.with_actions(
    "club",
    "a verb of two words",
    (
        Verb(
            "club add",
            "add people",
            _ran,
            (Arg("CHAT", "a chat"), Arg("C", "people", each=True)),
            (opt("--role", metavar="ROLE", help="a role"),),
            example="p2pchat club add friends bob",
        ),
        Verb("club leave", "leave", _ran, (Arg("CHAT", "a chat"),), example="p2pchat club leave friends"),
    ),
)


def in_club(*words: str) -> tuple[str, dict[str, object]]:
    verb, rest = options.chosen(CLUB, words)
    return verb.name, vars(options.read(verb, rest))


def test_an_action_has_arguments_and_options_of_its_own() -> None:
    name, values = in_club("add", "friends", "bob", "--role", "admin", "Anna L", "--json")
    assert (name, values["chat"], values["c"], values["role"]) == ("club add", "friends", ["bob", "Anna L"], "admin")
    assert in_club("--profile", "leave", "add", "friends", "--", "-x")[1]["c"] == ["-x"]
    name, values = in_club("leave", "friends")
    assert (name, values["chat"]) == ("club leave", "friends")
    for words, why in (
        (["fly"], "no club fly"),
        (["leave", "friends", "--role", "x"], "Unknown option --role"),
        (["leave", "friends", "bob"], "Too many"),
        (["add", "friends"], "C is missing"),
        (["add"], "CHAT is missing"),
    ):
        with pytest.raises(errors.UsageError, match=why):
            in_club(*words)


def test_a_verb_with_actions_lists_them_and_does_nothing_alone() -> None:
    assert in_club("--json")[0] == "club"
    text = options.help_text(CLUB)
    assert text.startswith("usage: p2pchat club ACTION")
    assert "add    add people" in text
    assert options.help_text(CLUB.actions[0]).startswith("usage: p2pchat club add CHAT C... [options]")
    with pytest.raises(errors.UsageError) as caught:
        CLUB.run(None, None)  # type: ignore[arg-type]
    assert "One of add, leave" in caught.value.line()
    page = "\n".join(line for action in CLUB.actions for line in manual._verb(action))
    assert r"\fBp2pchat club add\fR \fICHAT\fR \fIC\fR ... [options]" in page


def test_the_default_profile_is_in_the_data_folder(tmp_path: Path) -> None:
    from p2pchat.config import profile_folder

    env = {"XDG_DATA_HOME": str(tmp_path)}
    assert profile_folder(None, env) == tmp_path / "p2pchat" / "default"
    assert profile_folder(None, {**env, "P2PCHAT_PROFILE": "/a"}) == Path("/a")
    assert profile_folder("/b", {**env, "P2PCHAT_PROFILE": "/a"}) == Path("/b")
    assert profile_folder(None, {"XDG_DATA_HOME": "relative"}) == Path.home() / ".local/share/p2pchat/default"
