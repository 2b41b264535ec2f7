"""The echo bot, as the screen asks for it."""

from __future__ import annotations

import asyncio

import pytest

from p2pchat import errors
from p2pchat.locations import Profile
from p2pchat.tui.echo import echo_friend, wake_echo
from tests.support.processes import Place
from tests.support.steps import fine, make, start


@pytest.fixture
def here(here: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name, value in here.environment().items():
        monkeypatch.setenv(name, value)
    return here


def test_it_is_made_and_its_contact_is_told(here: Place) -> None:
    make(here, "alice")
    start(here, "alice")
    alice = Profile(here.folder / "alice")
    asyncio.run(wake_echo(alice))
    assert not alice.echo.folder.exists()
    ident = asyncio.run(echo_friend(alice))
    assert [contact["id"] for contact in fine(here.run("alice", "contacts", "--json"))] == [ident]
    assert here.run("alice", "echo", "--stop").code == 0
    asyncio.run(wake_echo(alice))
    assert fine(here.run("alice", "echo", "--stop", "--json")) == [{"stopped": True, "removed": False}]
    assert here.run("alice", "block", "echo").code == 0
    with pytest.raises(errors.NotNow, match="blocked"):
        asyncio.run(echo_friend(alice))
    assert here.run("alice", "echo", "--remove").code == 0


def test_what_hinders_it_is_an_error_of_ours(here: Place) -> None:
    with pytest.raises(errors.NoProfile):
        asyncio.run(echo_friend(Profile(here.folder / "nobody")))
    asyncio.run(wake_echo(Profile(here.folder / "nobody")))
