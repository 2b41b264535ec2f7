"""The story of the verb demo, on this machine alone, with real processes and temporary profiles.

Two people make profiles, become contacts through an invite, talk in several scripts and send a file; one node is killed
and comes back; the safety numbers are compared. With a third person they found a group, which removes her again. Then
there are two relays: messages for anyone who is offline wait
there, and go on waiting at one when the other is killed. Each step is printed with its time and route. The exit code is
0 only if every message arrived once and in order, and the file as it was; in any case, its processes end and its
folders are deleted.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from p2pchat import errors
from p2pchat.api import file_words
from p2pchat.api.client import Client
from p2pchat.api.starting import command, environment
from p2pchat.cli.context import Context
from p2pchat.cli.output import MARKS, Output, cell, paint
from p2pchat.locations import Profile

TIMEOUT = 60.0
"""Seconds that any one step may take on a slow machine."""

LISTEN = "/ip4/127.0.0.1/tcp/0"

TALK = (
    ("alice", "Hi Bob! Nobody between us, it seems."),
    ("bob", "Привет, Алиса! Ещё и по-русски можно."),
    ("alice", "سلام! می‌توانیم فارسی هم بنویسیم؟"),
    ("bob", "当然可以。中文也没问题。"),
    ("alice", "👩‍🚀🚀 🎉 ❤️"),
    ("bob", "Two lines?\nTwo lines."),
)
WHILE_AWAY = (
    ("alice", "Bob? You were cut off."),
    ("alice", "Я подожду."),
    ("alice", "This is for when you are back. 🌙"),
)
AFTERWARDS = (
    ("bob", "Back again, and everything is here."),
    ("alice", "خوش برگشتی!"),
)

TOLD = (
    ("alice", "I have relays now."),
    ("bob", "Me too."),
)
FOR_LATER = (
    ("alice", "You are offline, so this waits at two relays."),
    ("alice", "Они не знают, от кого это и кому."),
)
FOUND = (("bob", "Found it. Now you are offline."),)
WITH_ONE_RELAY = (("alice", "One relay is gone. This waits at the other one."),)


GROUP = "herons"
IN_GROUP = (
    ("alice", "Now we are three, and still nobody is between us."),
    ("bob", "Втроём веселее."),
    ("carol", "سلام به هر دو!"),
)
WITHOUT_CAROL = ("bob", "Carol does not read this.")

FILE_BYTES = 5_000_000
FILE_SENT = ("alice", "Five megabytes, in case you are bored.")


class DemoFailed(errors.P2PChatError):
    """The demo did not end as it should."""


@dataclass
class Person:
    """One of the two: a profile and its node's process."""

    name: str
    profile: Profile
    node: subprocess.Popen[bytes] | None = None
    client: Client | None = None
    contact: str = ""

    def call(self, method: str, **params: Any) -> Any:
        assert self.client is not None
        return self.client.call(method, **params)


@dataclass
class RelayProcess:
    """A relay that runs on this machine."""

    process: subprocess.Popen[bytes]
    address: str


@dataclass
class DemoScript:
    """Prints each step as it is done."""

    out: Output
    begun: float = field(default_factory=time.monotonic)
    told: list[tuple[str, str]] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[dict[str, Any]]:
        """Time one step; what is put into the dict is printed with it."""
        fields: dict[str, Any] = {}
        start = time.monotonic()
        yield fields
        elapsed = (time.monotonic() - start) * 1000
        if self.out.json:
            self.out.object({"step": what, "ms": round(elapsed, 1), **fields})
            return
        detail = "".join(f"  {value}" for value in fields.values() if value)
        self.out.table([[cell(f"{elapsed:8.1f} ms", "dim"), cell(what + detail)]])

    def message(self, sender: str, receiver: str, text: str, elapsed: float, result: dict[str, Any]) -> None:
        """One message that was sent."""
        state, route = result["state"], result["route"]
        if self.out.json:
            step = {"step": "message", "ms": round(elapsed, 1), "from": sender, "to": receiver, "text": text}
            self.out.object({**step, "state": state, "route": route})
            return
        text = text.replace("\n", " ⏎ ")
        self.out.table(
            [
                [
                    cell(f"{elapsed:8.1f} ms", "dim"),
                    cell(f"{MARKS.get(state, ''):<2}", "green" if state == "delivered" else "dim"),
                    cell(f"{route or '-':<6}", "dim"),
                    cell(f"{sender:>5} → {receiver:<5}", "bold"),
                    cell(text),
                ]
            ]
        )

    def heading(self, text: str) -> None:
        """A line between the parts."""
        if not self.out.json:
            self.out.stdout.write("\n" + paint(text, "bold", self.out.colour_out) + "\n")


def tell(context: Context) -> int:
    """Play the story; everything it made is deleted afterwards."""
    with _ended_by_signals():
        folder = Path(tempfile.mkdtemp(prefix="p2pchat-demo-"))
        alice, bob, carol = people = [Person(name, Profile(folder / name)) for name in ("alice", "bob", "carol")]
        relays: list[RelayProcess] = []
        story = DemoScript(context.out)
        try:
            _face_to_face(story, alice, bob)
            _group(story, alice, bob, carol)
            _by_relays(story, alice, bob, relays, folder)
            _check(story, alice, bob)
            total = time.monotonic() - story.begun
            if not story.out.json:
                count = len(story.told) + len(IN_GROUP) + 1
                story.heading(f"All {count} messages arrived once and in order, in {total:.1f} s.")
        finally:
            _clean_up(people, relays, folder)
    return 0


def _face_to_face(story: DemoScript, alice: Person, bob: Person) -> None:
    story.heading("Two people, two nodes, this machine only")
    with story.step("alice and bob make their profiles"):
        for person in (alice, bob):
            _init(person)
    with story.step("both nodes are ready") as fields:
        fields["alice"], fields["bob"] = _start(alice), _start(bob)

    story.heading("An invite")
    with story.step("alice makes an invite"):
        invite = alice.call("invite")["invite"]
    with story.step("bob takes it, and they are contacts"):
        bob.contact = bob.call("add", invite=invite, wait="accepted", timeout=TIMEOUT)["id"]
        alice.contact = _wait_for_contact(alice)
    with story.step("their safety numbers are equal") as fields:
        fields["safety_number"] = _compare(alice, bob)

    story.heading("A conversation")
    for sender, text in TALK:
        _say(story, alice, bob, sender, text)

    story.heading("A file")
    _file(story, alice, bob)

    story.heading("Bob's node is killed (SIGKILL)")
    with story.step("bob is gone"):
        _kill(bob)
    away = [_say(story, alice, bob, sender, text, wait="saved") for sender, text in WHILE_AWAY]
    with story.step("bob's node is back") as fields:
        fields["bob"] = _start(bob)
    with story.step("what waited for him is delivered") as fields:
        fields["route"] = _wait_for_delivery(alice, away)
    for sender, text in AFTERWARDS:
        _say(story, alice, bob, sender, text)
    with story.step("their safety numbers are still equal"):
        _compare(alice, bob)


def _file(story: DemoScript, alice: Person, bob: Person) -> None:
    """Send a file to bob, who saves it, and compare."""
    folder = bob.profile.folder.with_name("saved")
    folder.mkdir()
    sent, caption = alice.profile.folder.with_name("heron.bin"), FILE_SENT[1]
    sent.write_bytes(os.urandom(FILE_BYTES))
    with story.step(f"alice sends {file_words.size(FILE_BYTES)}, and bob has all of it") as fields:
        alice.call("send_file", chat=alice.contact, path=str(sent), caption=caption, wait="delivered", timeout=TIMEOUT)
        story.told.append(FILE_SENT)
        fields["state"] = "delivered"
    with story.step("bob saves it, and it is the same") as fields:
        found = bob.call("files", chat=bob.contact)[-1]
        saved = Path(bob.call("save_file", id=found["id"], to=str(folder), timeout=TIMEOUT)["path"])
        fields["name"] = saved.name
        if saved.read_bytes() != sent.read_bytes():
            raise DemoFailed("The file that was saved is not the one that was sent")


def _group(story: DemoScript, alice: Person, bob: Person, carol: Person) -> None:
    """Found a group of three, talk in it, and remove one."""
    story.heading("A group of three")
    with story.step("carol comes, and alice adds her as a contact"):
        _init(carol)
        _start(carol)
        invite = alice.call("invite")["invite"]
        carol.call("add", invite=invite, wait="accepted", timeout=TIMEOUT)
        _wait(alice, lambda each: "carol" in [contact["name"] for contact in each.call("contacts")])
    with story.step("alice founds a group, and adds bob and carol"):
        alice.call("create_group", name=GROUP, contacts=[alice.contact, "carol"])
        for person in (bob, carol):
            _wait(person, lambda each: GROUP in [chat["name"] for chat in each.call("chats")])
    people, said = (alice, bob, carol), list(IN_GROUP)
    for name, text in IN_GROUP:
        _say_in_group(story, next(person for person in people if person.name == name), text, people)
    with story.step("alice removes carol, and bob has seen it"):
        alice.call("remove_member", chat=GROUP, member="carol")
        _wait(bob, lambda each: each.call("group", chat=GROUP)["members"] == 2)
    _say_in_group(story, bob, WITHOUT_CAROL[1], (alice, bob))
    with story.step("carol has what was said while she was there, and no more"):
        for person in people:
            if sorted(_said_in_group(person)) != sorted(said if person is carol else [*said, WITHOUT_CAROL]):
                raise DemoFailed(f"What {person.name} has of the group is not what was said")
        _end(carol)


def _say_in_group(story: DemoScript, sender: Person, text: str, readers: Sequence[Person]) -> None:
    start = time.monotonic()
    result = sender.call("send", chat=GROUP, text=text)
    for person in readers:
        _wait(person, lambda each: (sender.name, text) in _said_in_group(each))
    story.message(sender.name, GROUP, text, (time.monotonic() - start) * 1000, {**result, "state": "delivered"})


def _said_in_group(person: Person) -> list[tuple[str, str]]:
    log = person.call("log", chat=GROUP, limit=50)
    return [(person.name if each["mine"] else each["from"], each["text"]) for each in log if each["kind"] == "text"]


def _wait(person: Person, check: Callable[[Person], bool]) -> None:
    """Wait until an event has made something so."""
    person.call("subscribe", events=["contact", "message", "chat", "group"])
    assert person.client is not None
    events = person.client.events()
    while not check(person):
        next(events)


def _by_relays(story: DemoScript, alice: Person, bob: Person, relays: list[RelayProcess], folder: Path) -> None:
    story.heading("Two relays")
    with story.step("two relays are ready"):
        for name in ("hill", "shore"):
            relays.append(_start_relay(alice.profile, folder / name))
    with story.step("alice and bob use both"):
        for person in (alice, bob):
            for relay in relays:
                person.call("relays", add=relay.address)
    for sender, text in TOLD:  # and with it, before it, where to leave what is for later
        _say(story, alice, bob, sender, text)
    _never_together(story, alice, bob)
    _one_relay_killed(story, alice, bob, relays[0])


def _never_together(story: DemoScript, alice: Person, bob: Person) -> None:
    story.heading("They are never there together")
    with story.step("bob goes"):
        _end(bob)
    for sender, text in FOR_LATER:
        _say(story, alice, bob, sender, text, wait="stored")
    with story.step("alice goes"):
        _end(alice)
    with story.step("bob comes, and finds what waited") as fields:
        _start(bob)
        fields["route"] = _wait_for_message(bob, FOR_LATER[-1][1])
    for sender, text in FOUND:
        _say(story, alice, bob, sender, text, wait="stored")
    with story.step("bob goes"):
        _end(bob)
    with story.step("alice comes, and finds his answer") as fields:
        _start(alice)
        fields["route"] = _wait_for_message(alice, FOUND[-1][1])


def _one_relay_killed(story: DemoScript, alice: Person, bob: Person, relay: RelayProcess) -> None:
    story.heading("One relay is killed (SIGKILL)")
    with story.step("the first relay is gone"):
        relay.process.kill()
        relay.process.wait()
    for sender, text in WITH_ONE_RELAY:
        _say(story, alice, bob, sender, text, wait="stored")
    with story.step("alice goes"):
        _end(alice)
    with story.step("bob comes, and finds it at the other relay") as fields:
        _start(bob)
        fields["route"] = _wait_for_message(bob, WITH_ONE_RELAY[-1][1])
    with story.step("alice is back too"):
        _start(alice)


# --- steps -----------------------------------------------------------------------------------------


def _init(person: Person) -> None:
    words = command(person.profile, "init", "--name", person.name, "--no-passphrase")
    done = subprocess.run(  # noqa: S603 - our own program
        words, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False
    )
    if done.returncode:
        raise DemoFailed(f"init of {person.name} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")


def _start(person: Person) -> str:
    """Start the person's node; return its first address."""
    words = command(person.profile, "--json", "node", "--listen", LISTEN)
    # In a session of its own: Ctrl-C comes to us alone, and we end it in order.
    person.node = subprocess.Popen(  # noqa: S603 - our own program
        words, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
    )
    ready = json.loads(_line(person.node))
    if ready.get("event") != "ready":
        raise DemoFailed(f"The node of {person.name} said {ready}")
    person.client = Client.connect(person.profile, start_node=False)
    person.client.socket.settimeout(TIMEOUT)
    return str(ready["addresses"][0]) if ready["addresses"] else ""


def _start_relay(unused: Profile, folder: Path) -> RelayProcess:
    """Start a relay, which has a folder of its own and no profile."""
    words = command(unused, "--json", "relay", "--listen", LISTEN, "--data", str(folder))
    process = subprocess.Popen(  # noqa: S603 - our own program
        words, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
    )
    ready = json.loads(_line(process))
    return RelayProcess(process, str(ready["addresses"][0]))


def _line(process: subprocess.Popen[bytes]) -> bytes:
    """Return the next line of a process's stdout."""
    assert process.stdout is not None
    descriptor, data, deadline = process.stdout.fileno(), b"", time.monotonic() + TIMEOUT
    while not data.endswith(b"\n"):
        readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(descriptor, 65536) if readable else b""
        if not piece:
            raise DemoFailed("A node did not become ready")
        data += piece
    return data


def _say(story: DemoScript, alice: Person, bob: Person, sender: str, text: str, wait: str = "delivered") -> str:
    """Send one message; return its id."""
    me, you = (alice, bob) if sender == "alice" else (bob, alice)
    start = time.monotonic()
    result = me.call("send", chat=me.contact, text=text, wait=wait, timeout=TIMEOUT)
    story.told.append((sender, text))
    story.message(sender, you.name, text, (time.monotonic() - start) * 1000, result)
    return str(result["id"])


def _wait_for_contact(alice: Person) -> str:
    """Wait until bob is alice's contact; return the id that she has for him."""
    alice.call("subscribe", events=["contact"])
    assert alice.client is not None
    events = alice.client.events()
    while True:
        for contact in alice.call("contacts"):
            if contact["state"] == "contact":
                return str(contact["id"])
        next(events)


def _wait_for_message(person: Person, text: str) -> str:
    """Wait until a message has arrived; return its route."""
    person.call("subscribe", events=["message"])
    assert person.client is not None
    events = person.client.events()
    while True:
        newest = person.call("log", chat=person.contact, limit=1)
        if newest and newest[0]["text"] == text:
            return str(newest[0]["route"])
        next(events)


def _wait_for_delivery(alice: Person, ids: list[str]) -> str:
    """Wait until alice's node has the receipts of these messages; return their route."""
    alice.call("subscribe", events=["state"])
    assert alice.client is not None
    events = alice.client.events()
    while True:
        messages = {each["id"]: each for each in alice.call("log", chat=alice.contact, limit=len(ids))}
        if all(messages[ident]["state"] in ("delivered", "read") for ident in ids):
            return str(messages[ids[-1]]["route"])
        next(events)


def _compare(alice: Person, bob: Person) -> str:
    numbers = {person.call("verify", contact=person.contact)["safety_number"] for person in (alice, bob)}
    if len(numbers) != 1:
        raise DemoFailed("The safety numbers differ")
    return str(numbers.pop())


def _check(story: DemoScript, alice: Person, bob: Person) -> None:
    """Check that every message arrived once and in order, at both ends."""
    for person in (alice, bob):
        log = person.call("log", chat=person.contact, limit=len(story.told) + 10)
        seen = [(person.name if each["from"] == "me" else _other(person), each["text"]) for each in log]
        if seen != story.told:
            raise DemoFailed(f"What {person.name} has is not what was said, in order: {len(seen)} messages")


def _other(person: Person) -> str:
    return "bob" if person.name == "alice" else "alice"


# --- the end ---------------------------------------------------------------------------------------


def _kill(person: Person) -> None:
    if person.client is not None:
        person.client.close()
    if person.node is not None:
        person.node.kill()
        person.node.wait()
        if person.node.stdout is not None:
            person.node.stdout.close()
    person.node = person.client = None


def _end(person: Person) -> None:
    """Stop a node normally."""
    if person.node is not None:
        person.node.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            person.node.wait(10)
    _kill(person)


def _clean_up(people: list[Person], relays: list[RelayProcess], folder: Path) -> None:
    """Stop what was started and delete what was made; nothing interrupts this."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for person in people:
            if person.node is not None:
                person.node.terminate()
        for person in people:
            _end(person)
        for relay in relays:
            relay.process.kill()
            relay.process.wait()
            if relay.process.stdout is not None:
                relay.process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the demo as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
