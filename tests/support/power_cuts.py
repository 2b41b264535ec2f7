"""Power cuts: people who start their node again after one, and stories that are cut at each boundary in turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import trio

from p2pchat.errors import P2PChatError
from p2pchat.ports import MailboxCallbacks, Mailboxes
from p2pchat.store.file_space import SLOT_BYTES, SealedFile
from tests.support.mailboxes import MailRelay
from tests.support.sampling import SEED, chosen
from tests.support.world import World, WorldNetwork, WorldNode, run_world

T = TypeVar("T")

Act = Callable[[WorldNode], Awaitable[object]]
Done = Callable[[WorldNode], Awaitable[bool]]
RELEASED = ("send", "reach", "nudge", "forget", "join")
RELEASED_TO_RELAYS = ("watch", "taken", "deposit")


class Person:
    """Somebody who starts the node again whenever it died, and repeats what was not done."""

    def __init__(self, world: World, name: str, cut_at: int | None) -> None:
        self.world, self.name = world, name
        self.boundaries = 0
        self._cut_at = cut_at
        self._told: set[str] = set()  # texts that the node has answered for
        self._node: WorldNode | None = None
        self._up = trio.Event()

    async def live(self) -> None:
        while True:
            try:
                node = await self.world.start(self.name, self._watch)
            except BaseExceptionGroup:
                raise
            except RuntimeError:  # the node died before it had started
                continue
            self._node = node
            self._up.set()
            await node.ended()
            self._up = trio.Event()

    async def node(self) -> WorldNode:
        while True:
            await self._up.wait()
            if self._node is not None and not self._node.crashed:
                return self._node
            await trio.sleep(0.1)

    async def do(self, act: Act, done: Done) -> None:
        """Do something until it is done, looking first whether it was."""
        while True:
            node = await self.node()
            try:
                if True in await _unless_dead(node, done):
                    return
                await _unless_dead(node, act)
            except P2PChatError:
                await trio.sleep(1)

    async def ask(self, question: Callable[[WorldNode], Awaitable[T]]) -> T:
        """Return the answer of a node that lives until it has answered: a call of one whose power is cut never ends."""
        while True:
            for answer in await _unless_dead(await self.node(), question):
                return answer

    async def say(self, other: str, text: str) -> None:
        async def act(node: WorldNode) -> None:
            await node.call("send", chat=other, text=text)
            self._told.add(text)

        async def done(node: WorldNode) -> bool:
            there = text in await node.texts(other, mine=True)
            assert there or text not in self._told, "a face was told of a message that is not on disk"
            return there

        await self.do(act, done)

    async def use(self, relay: MailRelay) -> None:
        async def act(node: WorldNode) -> None:
            await node.call("relays", add=relay.address)

        async def done(node: WorldNode) -> bool:
            return relay.address in [one["address"] for one in await node.call("relays")]

        await self.do(act, done)

    def _watch(self, node: WorldNode) -> None:
        unsynced: dict[str, set[int]] = {}

        def boundary() -> None:
            self.boundaries += 1
            if self.boundaries - 1 == self._cut_at:
                try:
                    node.cut_power()
                finally:
                    for name, slots in unsynced.items():
                        lose(node.left() / "files" / name, slots)

        commit, publish, net = node.db.commit, node.engine.events.publish, node.engine.net
        assert isinstance(net, WorldNetwork)
        pool = net._pool

        def watched_commit() -> None:
            boundary()
            commit()
            boundary()

        def watched_publish(event: dict[str, Any]) -> None:
            boundary()
            publish(event)

        def watch(part: object, names: Iterable[str]) -> None:
            for name in names:
                setattr(part, name, before(getattr(part, name)))

        def watched_pool(callbacks: MailboxCallbacks, nursery: trio.Nursery) -> Mailboxes:
            mailboxes = pool(callbacks, nursery)
            watch(mailboxes, RELEASED_TO_RELAYS)
            return mailboxes

        def before(function: Callable[..., Any]) -> Callable[..., Any]:
            def watched(*args: Any) -> Any:
                boundary()
                return function(*args)

            return watched

        for place, name, watched in (
            (node.db, "commit", watched_commit),
            (node.engine.events, "publish", watched_publish),
            (net, "_pool", watched_pool),
        ):
            setattr(place, name, watched)
        watch(net, RELEASED)
        space = node.engine.files.space
        for name in ("create", "open"):
            setattr(space, name, _watched_files(getattr(space, name), boundary, unsynced))


async def _unless_dead(node: WorldNode, act: Callable[[WorldNode], Awaitable[T]]) -> list[T]:
    """Return what an act answers, or nothing if the node dies before. Raises P2PChatError as the act does."""
    answers, refused = list[T](), list[P2PChatError]()

    async def work(scope: trio.CancelScope) -> None:
        try:
            answers.append(await act(node))
        except P2PChatError as error:
            refused.append(error)
        scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work, nursery.cancel_scope)
        await node.ended()
        nursery.cancel_scope.cancel()
    for error in refused:
        raise error
    return answers


class _WatchedFile:
    """A sealed file of a node, each write and sync of which has a boundary before and after it. unsynced: the slots
    that a power cut would lose, by the name of the file.
    """

    def __init__(self, sealed: SealedFile, boundary: Callable[[], None], unsynced: dict[str, set[int]]) -> None:
        self._sealed, self._boundary, self._unsynced = sealed, boundary, unsynced

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sealed, name)

    def write(self, slot: int, data: bytes) -> None:
        self._boundary()
        self._unsynced.setdefault(self._sealed.name, set()).add(slot)
        self._sealed.write(slot, data)
        self._boundary()

    def sync(self) -> None:
        self._boundary()
        self._sealed.sync()
        self._unsynced.pop(self._sealed.name, None)
        self._boundary()


def _watched_files(
    make: Callable[..., SealedFile], boundary: Callable[[], None], unsynced: dict[str, set[int]]
) -> Callable[..., _WatchedFile]:
    return lambda *args: _WatchedFile(make(*args), boundary, unsynced)


def lose(sealed: Path, slots: Iterable[int]) -> None:
    """Lose what was written into these slots of a sealed file, as a power cut does before they are synced."""
    if sealed.exists():  # it may have been deleted meanwhile
        with sealed.open("r+b") as file:
            for slot in slots:
                file.seek(slot * SLOT_BYTES)
                file.write(bytes(SLOT_BYTES))


@asynccontextmanager
async def people(
    world: World, names: Sequence[str], victim: str, cut_at: int | None, *, hours: int = 6
) -> AsyncIterator[list[Person]]:
    """Let these people live until the end of the block, for `hours` at most; the victim's power is cut at `cut_at`."""
    living = [Person(world, name, cut_at if name == victim else None) for name in names]
    async with trio.open_nursery() as nursery:
        for person in living:
            nursery.start_soon(person.live)
        with trio.fail_after(hours * 3600):
            yield living
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def two_people(
    world: World, victim: str, cut_at: int | None, *, hours: int = 6
) -> AsyncIterator[tuple[Person, Person]]:
    """The same with alice and bob."""
    async with people(world, ("alice", "bob"), victim, cut_at, hours=hours) as (alice, bob):
        yield alice, bob


async def new_invite(person: Person) -> str:
    """An invite of this person's, whenever the power is cut."""
    made: list[str] = []

    async def invite(node: WorldNode) -> None:
        made.append((await node.call("invite"))["invite"])

    async def has_invite(node: WorldNode) -> bool:
        return bool(made)

    await person.do(invite, has_invite)
    return made[0]


async def befriend(inviter: Person, joiner: Person) -> None:
    """The joiner uses an invite of the inviter's; both are contacts under the names that they have."""

    def knows(name: str) -> Done:
        async def done(node: WorldNode) -> bool:
            known = await node.call("contacts")
            return any(one["name"] == name and one["state"] == "contact" for one in known)

        return done

    invite = await new_invite(inviter)

    async def add(node: WorldNode) -> None:
        await node.call("add", invite=invite, name=inviter.name, wait="accepted", timeout=900)

    await joiner.do(add, knows(inviter.name))
    await inviter.do(nothing, knows(joiner.name))


async def is_contact(node: WorldNode) -> bool:
    """Whether the node has a contact who has accepted."""
    return any(one["state"] == "contact" for one in await node.call("contacts"))


async def nothing(node: WorldNode) -> None:
    """Wait a second: to be done until something has happened by itself."""
    await trio.sleep(1)


def cut_each(
    folder: Path, play: Callable[[Path, int | None], int], points: int, *chosen_by: object, least: int = 40
) -> None:
    """Play a story once to count the boundaries, more than `least`, and then with a power cut at each that is chosen.

    play: in this folder, with a power cut at this boundary. points, chosen_by: as for `sampling.chosen`.
    """
    boundaries = play(folder / "count", None)
    assert boundaries > least
    for cut_at in chosen(boundaries, points, *chosen_by):
        play(folder / str(cut_at), cut_at)


def played(folder: Path, cut_at: int | None, story: Callable[[World], Awaitable[int]]) -> int:
    """Play a story in a world of its own; return how many boundaries its victim's node passed."""
    passed = 0

    async def main(world: World) -> None:
        nonlocal passed
        passed = await story(world)

    folder.mkdir()
    try:
        run_world(folder, main)
    except BaseException as error:
        raise AssertionError(f"cut at boundary {cut_at}; P2PCHAT_SEED={SEED} repeats it") from error
    return passed
