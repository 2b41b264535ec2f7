"""Two people and a hostile network between them, as hypothesis drives them.

Either or both begin; envelopes are sent, reordered, lost, repeated, damaged and sent back; programs restart from what
they stored; sessions are renewed while mail of the old ones is still on its way. After each step a model says exactly
which keys are put aside, and of each envelope whether it must open or must change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from p2pchat.core import handshake, ratchet, session
from p2pchat.core.envelope import HEADER_BYTES
from p2pchat.core.identity import Device
from p2pchat.core.ids import SessionId
from p2pchat.core.prekeys import PrekeySet, make_set, open_bundle
from p2pchat.core.ratchet import OLD_CHAINS
from p2pchat.core.session import Received, Session
from p2pchat.errors import CannotOpen
from tests.core.people import LATER, NOW, Chance, flipped
from tests.support.examples import examples

MAX_SESSIONS = 4
ANY = st.integers(0, 1 << 20)
SIDES = st.sampled_from([0, 1])


@dataclass
class Mail:
    """An envelope on its way, with what only its sender knows. `kept`: what it keeps of it to seal it again."""

    sender: int
    session_id: SessionId
    chain: int
    number: int
    envelope: bytes
    content: bytes
    kept: tuple[bytes, bytes]
    opened: bool = False
    lost: bool = False

    def made_again(self) -> bytes:
        chain, message_seal = ratchet.load_chain(self.kept[0]), ratchet.load_seal(self.kept[1])
        return session.same_envelope(self.session_id, chain, message_seal, self.content)


@dataclass
class First:
    """A first message on its way to the other side, who holds the secrets of the bundle it was written to."""

    sender: int
    session_id: SessionId
    prekeys: PrekeySet
    message: bytes
    renewal: bool
    opened: bool = False


@dataclass
class Node:
    device: Device
    chance: Chance
    frozen: Chance  # for handshakes: which session is chosen must not hang on the library's own randomness
    sessions: dict[bytes, Session] = field(default_factory=dict)
    skipped: dict[tuple[bytes, int, int], bytes] = field(default_factory=dict)
    chains: dict[bytes, list[bytes]] = field(default_factory=dict)  # our ratchet keys, in order, by session

    def snapshot(self) -> object:
        """All that a store would hold."""
        dumped = {session_id: (ratchet.dump(one.ratchet), replace(one)) for session_id, one in self.sessions.items()}
        return dumped, dict(self.skipped)

    def try_all(self, envelope: bytes) -> list[tuple[bytes, Received]]:
        """Every session in which the envelope opens."""
        opened = []
        for session_id, one in self.sessions.items():
            find = partial(self._find, SessionId(session_id))
            try:
                opened.append((session_id, session.open_envelope(one, envelope, find, self.chance.entropy)))
            except CannotOpen:
                continue
        return opened

    def _find(self, session_id: SessionId, chain: int, number: int) -> bytes | None:
        return self.skipped.get((session_id, chain, number))

    def keep(self, session_id: SessionId, received: Received) -> None:
        self.sessions[session_id] = received.session
        if received.used is not None:
            del self.skipped[(session_id, *received.used)]
        for chain, number, key in received.skipped:
            assert (session_id, chain, number) not in self.skipped
            self.skipped[(session_id, chain, number)] = key


class Network(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.nodes = []
        for name in ("alice", "bob"):
            chance = Chance(name)
            self.nodes.append(Node(Device.fresh(chance.random), chance, Chance(f"{name}'s handshakes", frozen=True)))
        self.mail: list[Mail] = []
        self.firsts: list[First] = []
        self.nonces: set[bytes] = set()
        self.keys: set[bytes] = set()
        self.count = 0

    # --- beginnings ---

    @initialize(starters=st.sampled_from([(0,), (1,), (0, 1)]), one_time=st.booleans())
    def begin(self, starters: tuple[int, ...], one_time: bool) -> None:
        for side in starters:
            self.write_first(side, one_time=one_time, renewal=False)

    def write_first(self, side: int, *, one_time: bool, renewal: bool) -> None:
        me, other = self.nodes[side], self.nodes[1 - side]
        prekeys = make_set(other.device, LATER, one_time=one_time, random=other.chance.random)
        content = f"first {len(self.firsts)}".encode()
        opened, message = handshake.initiate(me.device, open_bundle(prekeys.bundle), content, NOW, me.frozen.entropy)
        if renewal:
            self.end_all(me)
        me.sessions[opened.session_id] = opened
        me.chains[opened.session_id] = [opened.ratchet.public]
        self.firsts.append(First(side, opened.session_id, prekeys, message, renewal))

    def end_all(self, node: Node) -> None:
        for session_id, one in node.sessions.items():
            node.sessions[session_id] = replace(one, ends_at=NOW + session.LINGER_MS)

    @precondition(lambda self: self.firsts)
    @rule(which=ANY)
    def deliver_first(self, which: int) -> None:
        first = self.firsts[which % len(self.firsts)]
        node = self.nodes[1 - first.sender]
        parsed = handshake.parse(first.message)
        session_id = handshake.transcript(parsed, first.prekeys)
        assert session_id == first.session_id
        if first.opened:
            assert session_id in node.sessions, "a repetition is known by its name"
            return
        opened, content = handshake.respond(node.device, first.prekeys, parsed, node.chance.entropy)
        assert content == f"first {self.firsts.index(first)}".encode()
        if first.renewal:
            self.end_all(node)
        node.sessions[session_id] = opened
        node.chains[session_id] = [opened.ratchet.public]
        first.opened = True

    @precondition(lambda self: self.firsts and all(one.opened for one in self.firsts))
    @precondition(lambda self: len(self.firsts) < MAX_SESSIONS)
    @rule(side=SIDES)
    def renew(self, side: int) -> None:
        self.write_first(side, one_time=True, renewal=True)

    @precondition(lambda self: self.firsts)
    @rule(which=ANY, bit=ANY)
    def damage_first(self, which: int, bit: int) -> None:
        first = self.firsts[which % len(self.firsts)]
        node = self.nodes[1 - first.sender]
        try:
            handshake.respond(
                node.device, first.prekeys, handshake.parse(flipped(first.message, bit)), node.chance.entropy
            )
        except CannotOpen:
            return
        raise AssertionError("a damaged first message was opened")

    # --- traffic ---

    @rule(side=SIDES, size=st.sampled_from([0, 100, 1665, 1666, 5000]))
    def send(self, side: int, size: int) -> None:
        node = self.nodes[side]
        chosen = session.for_sending(node.sessions.values())
        if chosen is None:
            return
        content = f"{self.count}".encode() + bytes(size)
        self.count += 1
        state = chosen.ratchet
        assert state.sending is not None
        key = ratchet._message_key(ratchet._chain_step(state.sending)[0])
        sealed = session.seal(chosen, content, node.chance.random)
        after, envelope = sealed.session, sealed.envelope
        kept = ratchet.dump_chain(ratchet.sending_chain(state)), ratchet.dump_seal(sealed.message_seal)
        for nonce in (envelope[:24], envelope[HEADER_BYTES : HEADER_BYTES + 24]):
            assert nonce not in self.nonces, "a nonce came twice"
            self.nonces.add(nonce)
        assert key not in self.keys, "a message key came twice"
        self.keys.add(key)
        publics = node.chains[chosen.session_id]
        if state.public not in publics:
            publics.append(state.public)
        chain = publics.index(state.public) + 1
        node.sessions[chosen.session_id] = after
        self.mail.append(Mail(side, chosen.session_id, chain, state.sent, envelope, content, kept))

    def must_open(self, mail: Mail) -> bool:
        node = self.nodes[1 - mail.sender]
        if mail.opened or mail.session_id not in node.sessions:
            return False
        return mail.chain >= node.sessions[mail.session_id].ratchet.chain - OLD_CHAINS

    def pick(self, which: int, mails: list[Mail]) -> Mail:
        return mails[which % len(mails)]

    def flying(self) -> list[Mail]:
        return [mail for mail in self.mail if not mail.opened and not mail.lost]

    @precondition(lambda self: self.flying())
    @rule(which=ANY)
    def deliver(self, which: int) -> None:
        self.hand_over(self.pick(which, self.flying()))

    @precondition(lambda self: self.flying())
    @rule()
    def deliver_the_oldest(self) -> None:
        self.hand_over(self.flying()[0])

    @precondition(lambda self: self.flying())
    @rule()
    def deliver_the_newest(self) -> None:
        self.hand_over(self.flying()[-1])

    def hand_over(self, mail: Mail) -> None:
        node = self.nodes[1 - mail.sender]
        expected = self.must_open(mail)
        assert mail.made_again() == mail.envelope
        opened = node.try_all(mail.envelope)
        assert [session_id for session_id, _ in opened] == ([mail.session_id] if expected else [])
        for session_id, received in opened:
            assert received.content == mail.content
            node.keep(SessionId(session_id), received)
            mail.opened = True

    def refused_by(self, node: Node, envelope: bytes) -> None:
        before = node.snapshot()
        assert node.try_all(envelope) == []
        assert node.snapshot() == before

    @precondition(lambda self: any(mail.opened for mail in self.mail))
    @rule(which=ANY)
    def replay(self, which: int) -> None:
        mail = self.pick(which, [one for one in self.mail if one.opened])
        self.refused_by(self.nodes[1 - mail.sender], mail.envelope)

    @precondition(lambda self: self.mail)
    @rule(which=ANY, bit=ANY)
    def damage(self, which: int, bit: int) -> None:
        mail = self.pick(which, self.mail)
        self.refused_by(self.nodes[1 - mail.sender], flipped(mail.envelope, bit))

    @precondition(lambda self: self.mail)
    @rule(which=ANY)
    def send_back(self, which: int) -> None:
        mail = self.pick(which, self.mail)
        self.refused_by(self.nodes[mail.sender], mail.envelope)

    @precondition(lambda self: len(self.mail) > 1)
    @rule(which=ANY, other=ANY)
    def splice(self, which: int, other: int) -> None:
        one, two = self.pick(which, self.mail), self.pick(other, self.mail)
        if one is not two:
            self.refused_by(self.nodes[1 - one.sender], one.envelope[:HEADER_BYTES] + two.envelope[HEADER_BYTES:])

    @precondition(lambda self: self.flying())
    @rule(which=ANY)
    def lose(self, which: int) -> None:
        self.pick(which, self.flying()).lost = True

    @rule(side=SIDES)
    def restart(self, side: int) -> None:
        node = self.nodes[side]
        before = node.snapshot()
        for session_id, one in node.sessions.items():
            node.sessions[session_id] = replace(one, ratchet=ratchet.load(ratchet.dump(one.ratchet)))
        assert node.snapshot() == before

    # --- what always holds ---

    @invariant()
    def exactly_the_missing_keys_are_put_aside(self) -> None:
        for side, node in enumerate(self.nodes):
            expected = set()
            for mail in self.mail:
                if mail.sender == side or mail.opened or mail.session_id not in node.sessions:
                    continue
                state = node.sessions[mail.session_id].ratchet
                if mail.chain < state.chain or (mail.chain == state.chain and mail.number < state.received):
                    expected.add((mail.session_id, mail.chain, mail.number))
            assert set(node.skipped) == expected
            assert len(set(node.skipped.values())) == len(node.skipped)

    @invariant()
    def both_send_where_the_other_can_open(self) -> None:
        """And once something came back in all that live, in the same one."""
        if not self.firsts or not all(one.opened for one in self.firsts):
            return
        chosen = [session.for_sending(node.sessions.values()) for node in self.nodes]
        for one, node in zip(chosen, self.nodes[::-1], strict=True):
            assert one is not None
            assert one.session_id in node.sessions
        living = [one for node in self.nodes for one in node.sessions.values() if one.ends_at is None]
        if all(one.confirmed for one in living):
            assert len({(one.session_id, one.pair_root) for one in chosen if one is not None}) == 1

    def teardown(self) -> None:
        """Whatever happened: what can still arrive arrives, and both can talk on."""
        for number in range(len(self.firsts)):
            self.deliver_first(number)
        for mail in self.flying():
            self.hand_over(mail)
        for side in (0, 1, 0, 1) if self.firsts else ():
            self.send(side, 0)
            mail = self.mail[-1]
            assert mail.sender == side
            self.hand_over(mail)
            assert mail.opened
            self.both_send_where_the_other_can_open()
        assert len({mail.session_id for mail in self.mail[-2:]}) <= 1, "after a round trip both are in one session"
        self.exactly_the_missing_keys_are_put_aside()


TestNetwork = Network.TestCase
TestNetwork.settings = settings(max_examples=examples(30), stateful_step_count=60)
