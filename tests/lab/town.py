"""People with two relays, as the stories need them: who is on, what was said, and whether all of it has arrived."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from p2pchat.api.client import Client
from p2pchat.locations import Profile
from p2pchat.relay.folder import Folder
from tests.lab.steps import ANYWHERE, lying, node, relay
from tests.lab.topology import Lab
from tests.support.processes import PATIENCE, Running
from tests.support.steps import fine, make

RELAYS = ("relay1", "relay2")
SETTLED = 60.0
"""Seconds until everything is there and known to be, on whatever network."""
LOOK = 0.25
"""Seconds until one looks again where no event comes."""


@dataclass
class Town:
    """Alice and Bob, who know both relays. `said`: by whom, what, in order; `running`: nodes and relays by name;
    `honest`: the relays that do not lie.
    """

    lab: Lab
    running: dict[str, Running] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    honest: set[str] = field(default_factory=set)
    said: dict[str, list[str]] = field(default_factory=dict)

    # --- relays

    def open(self, name: str, lie: str = "", **where: Any) -> None:
        """A relay begins to work, or to lie. where: as for `steps.relay`."""
        if lie:
            self.running[name], self.addresses[name] = lying(self.lab.place, name, lie, ANYWHERE)
        else:
            self.running[name], self.addresses[name] = relay(self.lab, name, **where)
            self.honest.add(name)

    def holds(self, name: str) -> int:
        """How many blobs lie at a relay."""
        return int(Folder(self.folder(name)).ask()["blobs"])

    def folder(self, name: str) -> Path:
        """Where somebody keeps what they have."""
        return self.lab.place.folder / name

    # --- people

    def settle(self, *people: str) -> None:
        """They get a profile and a node, and add both relays."""
        make(self.lab.place, *people)
        for person in people:
            self.said[person] = []
            self.on(person)
            for name, address in self.addresses.items():
                done = self.lab.place.run(person, "relays", "add", address, "--json")
                assert done.code == 0 or (done.code == 5 and name not in self.honest), done  # what a liar says may show
        self.until_connected(*people)

    def on(self, person: str) -> None:
        """Somebody starts their node."""
        self.running[person] = node(self.lab, person)

    def off(self, name: str, how: int = signal.SIGTERM) -> None:
        """Somebody's node ends, or a relay."""
        self.running.pop(name).end(how)

    def verb(self, person: str, *words: str) -> list[Any]:
        """The objects that a verb prints which succeeds."""
        printed: list[Any] = fine(self.lab.place.run(person, *words, "--json"))
        return printed

    def invited(self, person: str, *words: str) -> str:
        """An invite of somebody's, the first, that all honest relays hold."""
        made = self.lab.place.run(person, "invite", "--json", *words).object()
        self.until(person, lambda _: all(self.holds(relay) for relay in self.honest))
        return str(made["invite"])

    def ask(self, by: str, of: str, invite: str) -> None:
        """Take the invite of somebody who is away, say something, and wait until all honest relays hold the request."""
        done = self.lab.place.run(by, "add", invite, "--name", of, "--timeout", "1s")
        assert done.code == 3, done
        self.say(by, of, "found your invite")
        self.until(by, lambda _: all(self.holds(relay) >= 2 for relay in self.honest))  # the bundle is the other one

    def befriend(self, inviter: str, joiner: str) -> None:
        """Both are on; the joiner adds the inviter."""
        (added,) = self.verb(joiner, "add", self.invited(inviter), "--wait", "accepted")
        assert (added["name"], added["state"]) == (inviter, "contact")

    def say(self, by: str, to: str, text: str, wait: str = "saved", timeout: float = PATIENCE) -> dict[str, Any]:
        """Send a text, and wait; what `send` says of it."""
        self.said[by].append(text)
        (sent,) = self.verb(by, "send", to, text, "--wait", wait, "--timeout", f"{timeout:.0f}s")
        assert isinstance(sent, dict)
        return sent

    def leave_word(self, by: str, to: str, *said: str) -> None:
        """Send texts, and wait until they are all at relays, or there."""
        for text in said:
            self.say(by, to, text)
        self.until(by, lambda client: all(one["state"] != "saved" for one in _waiting(client, to)))

    def give(self, by: str, to: str, wait: str = "saved") -> None:
        """Send a file of 200 kB, without a caption: in the log its text is empty."""
        self.said[by].append("")
        path = self.lab.place.folder / f"{by}.bin"
        path.write_bytes(bytes(200_000))
        self.verb(by, "send", to, "--as-is", "--file", str(path), "--wait", wait, "--timeout", f"{PATIENCE:.0f}s")

    # --- what they see

    def until_here(self, person: str, by: str) -> None:
        """Wait until somebody has the whole of every file that the other one has sent."""
        self.until(person, lambda client: _all_here(client, by), SETTLED)

    def until(self, person: str, holds: Callable[[Client], bool], timeout: float = PATIENCE) -> None:
        """Wait until it holds at somebody's node, looking again at every event, and often for what no event tells."""
        deadline = time.monotonic() + timeout
        with self.client(person) as client:
            client.call("subscribe")
            events = client.events()
            while not holds(client):
                assert time.monotonic() < deadline, f"{person} waited in vain"
                if client.pending or select.select([client.socket], [], [], LOOK)[0]:
                    next(events)

    def until_connected(self, *people: str) -> None:
        """Wait until these people's nodes are connected with all their relays, or want nothing of one that lies."""
        settled = ("connected", "refused")
        for person in people:
            self.until(person, lambda client: all(one["state"] in settled for one in client.call("relays")))

    def until_heard(self, person: str, by: str, timeout: float = PATIENCE) -> None:
        """Wait until somebody has every text that the other one has said."""
        self.until(person, lambda client: set(self.said[by]) <= {one["text"] for one in _theirs(client, by)}, timeout)

    def until_settled(self, person: str, other: str) -> None:
        """Wait until somebody knows that the other one has everything."""
        self.until(person, lambda client: _waiting(client, other) == [], SETTLED)

    def agree(self, one: str, other: str) -> None:
        """Everything that was said is with both: once, in order, and known to be there."""
        for person, peer in ((one, other), (other, one)):
            self.until_heard(person, peer, SETTLED)
            self.until_settled(person, peer)
        for person, peer in ((one, other), (other, one)):
            log = self.verb(person, "log", peer, "--limit", "1000")
            assert [each["text"] for each in log if each["from"] == "me"] == self.said[person]
            assert [each["text"] for each in log if each["from"] == peer] == self.said[peer]
            assert len(log) == len(self.said[person]) + len(self.said[peer])

    @contextmanager
    def client(self, person: str) -> Iterator[Client]:
        client = Client.running(Profile(self.lab.place.folder / person))
        assert client is not None
        with client:
            client.socket.settimeout(PATIENCE)
            yield client


def _theirs(client: Client, by: str) -> list[dict[str, Any]]:
    log: list[dict[str, Any]] = client.call("log", chat=by, limit=1000)
    return [one for one in log if one["from"] == by]


def _all_here(client: Client, by: str) -> bool:
    return all(one["file"]["state"] == "here" for one in _theirs(client, by) if one["kind"] == "file")


def _waiting(client: Client, other: str) -> list[dict[str, Any]]:
    log = client.call("log", chat=other, limit=1000)
    return [one for one in log if one["from"] == "me" and one["state"] not in ("delivered", "read")]
