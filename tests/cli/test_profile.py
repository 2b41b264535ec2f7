"""Passphrases: from a file, from a terminal, never from anywhere else; and changing them."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.locations import Profile
from tests.cli.conftest import Run
from tests.cli.node import FakeNode


@pytest.fixture
def locked(profile: Profile) -> FakeNode:
    return FakeNode(profile, state="locked")


def test_a_locked_node_is_unlocked_with_the_file(locked: FakeNode, p2pchat: Run, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes("пароль \n".encode())
    with locked as node:
        assert p2pchat("contacts", "--passphrase-file", str(secret)).code == 0
        assert node.calls[0] == ("unlock", {"passphrase": "пароль "})
        assert p2pchat("--passphrase-file", "-", "contacts", stdin=b"pw\n").code == 0
        assert node.calls[2] == ("unlock", {"passphrase": "pw"})


def test_a_locked_node_is_unlocked_by_the_command_that_is_configured(
    locked: FakeNode, profile: Profile, p2pchat: Run
) -> None:
    (profile.folder / "config.toml").write_text('passphrase_command = ["printf", "from a manager\\nmore"]\n')
    with locked as node:
        assert p2pchat("contacts").code == 0
        assert node.calls[0] == ("unlock", {"passphrase": "from a manager"})
        assert p2pchat("contacts", "--passphrase-file", "-", stdin=b"given\n").code == 0
        assert node.calls[2] == ("unlock", {"passphrase": "given"})


def test_no_verb_prompts_without_a_terminal(locked: FakeNode, p2pchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def prompt(*_: object) -> str:
        raise AssertionError("prompted")

    monkeypatch.setattr("getpass.getpass", prompt)
    with locked as node:
        for words in (["contacts"], ["unlock"], ["send", "bob", "x"], ["passphrase"], ["tail"]):
            result = p2pchat(*words)
            assert (result.code, result.out, result.err.count("\n")) == (4, "", 1)
            assert "--passphrase-file" in result.err
        assert node.calls == []
    result = p2pchat("--profile", "/nonexistent/x", "init", "--name", "a")
    assert result.code == 2
    assert "--no-passphrase" in result.err


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff", b"x" * 2000])
def test_passphrase_files_that_hold_none(locked: FakeNode, p2pchat: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with locked as node:
        assert p2pchat("contacts", "--passphrase-file", str(tmp_path / "f")).code == 2
        assert p2pchat("contacts", "--passphrase-file", str(tmp_path / "none")).code == 2
        assert node.calls == []


def test_changing_the_passphrase(node: FakeNode, p2pchat: Run, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.write_text("neu\n")
    for words, stdin, value in (
        (["--new-passphrase-file", str(new)], b"", "neu"),
        (["--new-passphrase-file", "-"], b"other", "other"),
        (["--no-passphrase"], b"", None),
        (["--passphrase-file", str(new)], b"", "neu"),  # a profile without one: it can only mean the new one
    ):
        node.calls.clear()
        result = p2pchat("passphrase", *words, stdin=stdin)
        assert result.code == 0
        assert ("passphrase", {"new": value}) in node.calls
        assert "neu" not in result.out + result.err
    assert p2pchat("passphrase").code == 2
    assert p2pchat("passphrase", "--no-passphrase", "--new-passphrase-file", str(new)).code == 2
