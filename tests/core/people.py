"""Two people for the core's tests: seeded chance, a store in memory, and a first meeting."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from p2pchat.core import handshake, session
from p2pchat.core import primitives as prim
from p2pchat.core.identity import Device
from p2pchat.core.prekeys import Bundle, PrekeySet, make_set, open_bundle
from p2pchat.core.session import Session
from tests.core import mlkem_reference

NOW = 1_800_000_000_000
LATER = 2_000_000_000


class Chance:
    """Randomness that is the same for the same seed. `frozen` fixes the ML-KEM ciphertexts too (and is slower)."""

    def __init__(self, seed: str, *, frozen: bool = False) -> None:
        self._seed = seed.encode()
        self._drawn = 0
        self.entropy = prim.Entropy(self.random, self._encapsulate if frozen else prim.kem_encapsulate)

    def random(self, size: int) -> bytes:
        self._drawn += 1
        return hashlib.shake_256(self._seed + b"/" + str(self._drawn).encode()).digest(size)

    def _encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        prim.kem_encapsulate(public)  # refuses what the library refuses
        return mlkem_reference.encapsulate(public, self.random(32))


def nothing(chain: int, number: int) -> bytes | None:
    """A store without skipped keys."""
    return None


@dataclass
class Person:
    """One side of a session, with the skipped keys a store would hold."""

    device: Device
    chance: Chance
    session: Session | None = None
    skipped: dict[tuple[int, int], bytes] = field(default_factory=dict)

    @property
    def live(self) -> Session:
        assert self.session is not None
        return self.session

    def seal(self, content: bytes) -> bytes:
        sealed = session.seal(self.live, content, self.chance.random)
        self.session = sealed.session
        return sealed.envelope

    def open(self, envelope: bytes) -> bytes:
        """The content; commits the new state as the engine does: only after all has succeeded."""
        received = session.open_envelope(self.live, envelope, self.find, self.chance.entropy)
        self.session = received.session
        if received.used is not None:
            del self.skipped[received.used]
        self.skipped.update({(chain, number): key for chain, number, key in received.skipped})
        return received.content

    def find(self, chain: int, number: int) -> bytes | None:
        return self.skipped.get((chain, number))


@dataclass
class Meeting:
    """Alice has written to Bob's bundle, and Bob has answered in his head: both have a session."""

    alice: Person
    bob: Person
    prekeys: PrekeySet
    bundle: Bundle
    initial: bytes


def person(name: str, *, frozen: bool = False) -> Person:
    chance = Chance(name, frozen=frozen)
    return Person(Device.fresh(chance.random), chance)


def meet(seed: str = "", *, one_time: bool = True, frozen: bool = False, first: bytes = b"hello") -> Meeting:
    """Two people after the first message of the one reached the other."""
    alice, bob = person(f"alice{seed}", frozen=frozen), person(f"bob{seed}", frozen=frozen)
    prekeys = make_set(bob.device, LATER, one_time=one_time, random=bob.chance.random)
    bundle = open_bundle(prekeys.bundle)
    alice.session, initial = handshake.initiate(alice.device, bundle, first, NOW, alice.chance.entropy)
    bob.session, content = handshake.respond(bob.device, prekeys, handshake.parse(initial), bob.chance.entropy)
    assert content == first
    return Meeting(alice, bob, prekeys, bundle, initial)


def flipped(data: bytes, bit: int) -> bytes:
    """`data` with one bit changed."""
    at = bit % (8 * len(data))
    return data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :]
