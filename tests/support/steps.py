"""Steps of the tests with real processes: what people do, and what they must see."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from p2pchat.core.ids import PeerKey
from p2pchat.core.invite import ONE_TIME, Invite, InviteWay, encode_invite, to_text
from p2pchat.core.primitives import sign_public
from p2pchat.net.multiaddrs import pack
from tests.support.processes import PATIENCE, Done, Place, Running

DAY_S = 86_400
RISKY = "".join(map(chr, [*range(10), *range(11, 32), *range(127, 160), 0x202A, 0x202E, 0x2066, 0xE0041]))


def failed(done: Done, code: int, *words: str, out: str = "") -> None:
    """One clean line on stderr (with --json an object), the code, and on stdout nothing but `out`."""
    assert (done.code, done.out) == (code, out), done
    assert done.err.count("\n") == 1, done.err
    if not done.err.startswith("p2pchat: "):
        assert json.loads(done.err)["error"]["data"]["exit"] == code, done.err
    assert "Traceback" not in done.err
    assert "bug in p2pchat" not in done.err
    assert not set(RISKY) & set(done.err)
    assert all(word in done.err for word in words), done.err


def fine(done: Done) -> Any:
    """The objects that a verb with --json printed."""
    assert (done.code, done.err) == (0, ""), done
    return [json.loads(line) for line in done.out.splitlines()]


def make(here: Place, *names: str) -> None:
    with ThreadPoolExecutor(len(names)) as pool:
        for done in pool.map(lambda name: here.run(name, "init", "--name", name, "--no-passphrase"), names):
            assert done.code == 0, done


def start(here: Place, *names: str) -> list[Running]:
    nodes = [here.node(name) for name in names]
    for node in nodes:
        assert node.hear()["event"] == "ready"
    return nodes


def new_invite(here: Place, name: str, *words: str) -> str:
    return str(here.run(name, "invite", *words, "--json").object()["invite"])


def befriended(here: Place, inviter: str, joiner: str) -> None:
    invite = new_invite(here, inviter)
    assert here.run(joiner, "add", invite, "--name", inviter, "--wait", "accepted").code == 0


def texts(here: Place, name: str, chat: str, *words: str) -> list[str]:
    return [one["text"] for one in fine(here.run(name, "log", chat, "--json", *words))]


def send(here: Place, name: str, chat: str, text: str) -> str:
    """Send and wait until it is delivered; the id."""
    return str(fine(here.run(name, "send", chat, text, "--wait", "delivered", "--timeout", "60s", "--json"))[0]["id"])


def hear_state(tail: Running, message: str, state: str) -> None:
    """Follow events until a message is in that state."""
    while (event := tail.hear()).get("event") != "state" or (event["id"], event["state"]) != (message, state):
        pass


def foreign_invite(*, expires_in: int = DAY_S, port: int = 1) -> str:
    """An invite of nobody: well made, and no node is there."""
    ways = (InviteWay(PeerKey(sign_public(os.urandom(32))), pack(f"/ip4/127.0.0.1/tcp/{port}"), 0),)
    secret = os.urandom(16)
    return to_text(encode_invite(Invite(ONE_TIME, bytes(32), secret, int(time.time()) + expires_in, ways, None)))


def following(here: Place, name: str, chat: str, *words: str) -> Running:
    """A tail of everything that comes to `name` from now on: it has subscribed when it has printed what was there."""
    first, *rest = fine(here.run(name, "log", chat, "--limit", "2", "--json"))
    assert rest, "there is nothing that it could print first"
    tail = here.start(name, "tail", "--since", first["id"], *words)
    for one in rest:
        assert tail.hear()["id"] == one["id"]
    return tail


def why(here: Place, name: str, message: str) -> str:
    return str(fine(here.run(name, "why", message, "--json"))[0]["reason"])


def until(check: Callable[[], bool]) -> None:
    """Look again and again until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < deadline, "waited in vain"


def without_link(here: Place, name: str) -> None:
    """Wait until somebody's only contact has no link: a node notices a moment later."""
    until(lambda: fine(here.run(name, "contacts", "--json"))[0]["route"] is None)
