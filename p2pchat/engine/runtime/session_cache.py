"""The sessions with contacts' devices, kept in memory between transactions; a transaction saves those that it
changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from p2pchat.core import ratchet
from p2pchat.core.ids import DeviceId, SessionId
from p2pchat.core.primitives import Entropy
from p2pchat.core.session import Received, Sealed, Session, for_sending, open_envelope, seal
from p2pchat.errors import CannotOpen
from p2pchat.store import sending_chains
from p2pchat.store import sessions as store_sessions
from p2pchat.store.database import Database
from p2pchat.store.sending_chains import SendingChainRow
from p2pchat.store.sessions import SessionRow

Skipped = dict[tuple[int, int], bytes]


@dataclass(eq=False, repr=False)
class _Waiting:
    """The outbox rows that are sealed in a sending chain: their first pk is at least `first_row`, and there are at most
    `count` of them, or any number if that is None.
    """

    first_row: int
    count: int | None


@dataclass(eq=False, repr=False)
class _DeviceSessions:
    """The sessions with one device. waiting: for each sending chain in use, the rows that are sealed in it.
    chains_kept: the sessions of which ended sending chains may be stored.
    """

    sessions: dict[SessionId, Session]
    skipped: dict[SessionId, Skipped]
    created: dict[SessionId, int]
    pending: set[SessionId]
    waiting: dict[tuple[SessionId, int], _Waiting]
    chains_kept: set[SessionId]


class SessionCache:
    """Sessions by device, loaded when first needed. A failed transaction clears the cache."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[DeviceId, _DeviceSessions] = {}
        self._touched: dict[tuple[DeviceId, SessionId], None] = {}
        self._ended: dict[tuple[DeviceId, SessionId, int], tuple[_Waiting, ratchet.SendingChain]] = {}

    def all(self, device: DeviceId) -> list[Session]:
        """Return all sessions with the device that it may use, oldest last."""
        known = self._load(device)
        return [session for session_id, session in known.sessions.items() if session_id not in known.pending]

    def get(self, device: DeviceId, session_id: SessionId | None) -> Session | None:
        """Return the session with this id, if the device may use it, else None."""
        known = self._load(device)
        return None if session_id is None or session_id in known.pending else known.sessions.get(session_id)

    def pending(self, device: DeviceId) -> Session | None:
        """Return the session of a request that was not answered yet, or None."""
        known = self._load(device)
        return next((known.sessions[session_id] for session_id in known.pending), None)

    def sending(self, device: DeviceId) -> Session | None:
        """Return the session to send in, or None."""
        return for_sending(self.all(device))

    def put(self, device: DeviceId, session: Session) -> None:
        """Put a changed session into the cache; it is saved once, at the end of the transaction."""
        self._load(device).sessions[session.session_id] = session
        self._touched[device, session.session_id] = None

    def begin(self, device: DeviceId, session: Session, now: int, *, pending: bool = False) -> None:
        """Add a new session. pending: it must not be used before the user accepts the request."""
        known = self._load(device)
        known.sessions = {session.session_id: session, **known.sessions}
        known.created[session.session_id] = now
        if pending:
            known.pending.add(session.session_id)
        self.put(device, session)

    def admit(self, device: DeviceId, session: Session) -> None:
        """Allow the use of a pending session, since the user has accepted the request."""
        self._load(device).pending.discard(session.session_id)
        self.put(device, session)

    def drop(self, device: DeviceId, session_id: SessionId) -> None:
        """Delete a session."""
        known = self._load(device)
        for by_session in (known.sessions, known.skipped, known.created):
            by_session.pop(session_id, None)
        for place in [place for place in known.waiting if place[0] == session_id]:
            del known.waiting[place]
        known.pending.discard(session_id)
        store_sessions.remove(self._db, session_id)

    def seal(self, device: DeviceId, session: Session, content: bytes, entropy: Entropy) -> Sealed:
        """Seal a content in this session, and return the envelope."""
        sealed = seal(session, content, entropy.random)
        self.put(device, sealed.session)
        return sealed

    def queued(self, device: DeviceId, sealed: Sealed, pk: int) -> None:
        """Note that a sealed envelope waits as the outbox row `pk`."""
        place = sealed.session.session_id, sealed.session.ratchet.chain
        waiting = self._load(device).waiting.setdefault(place, _Waiting(pk, 0))
        waiting.first_row = min(pk, waiting.first_row)
        if waiting.count is not None:
            waiting.count += 1

    def dequeued(self, device: DeviceId, places: Iterable[tuple[SessionId | None, int | None]]) -> None:
        """Note that rows sealed in these (session, chain) were removed from the outbox. A caller that does not note it
        only costs a query later.
        """
        known = self._load(device)
        for session_id, chain in places:
            if session_id is None or chain is None:
                continue
            waiting = known.waiting.get((session_id, chain))
            if waiting is None and (ended := self._ended.get((device, session_id, chain))) is not None:
                waiting = ended[0]
            if waiting is not None and waiting.count is not None:
                waiting.count -= 1

    def sending_chain(self, device: DeviceId, session_id: SessionId, chain: int) -> ratchet.SendingChain | None:
        """Return the data of a sending chain that its headers are made from; None if its session is deleted or the
        chain was not stored.
        """
        session = self._load(device).sessions.get(session_id)
        if session is not None and session.ratchet.chain == chain and ratchet.can_send(session.ratchet):
            return ratchet.sending_chain(session.ratchet)
        if (ended := self._ended.get((device, session_id, chain))) is not None:
            return ended[1]
        kept = sending_chains.get(self._db, session_id, chain)
        return None if kept is None else ratchet.load_chain(kept)

    def open(
        self, device: DeviceId, envelope: bytes, entropy: Entropy, may_skip: ratchet.MaySkip
    ) -> tuple[Session, Received] | None:
        """Open an envelope; return the result with its session, or None if no session opens it. Nothing is saved until
        `keep`.
        """
        known = self._load(device)
        for session in self.all(device):
            skipped = known.skipped[session.session_id]
            try:
                return session, open_envelope(session, envelope, _finder(skipped), entropy, may_skip)
            except CannotOpen:
                continue
        return None

    def keep(self, device: DeviceId, opened: Received, now: int) -> None:
        """Save the changes that opening an envelope has made."""
        session_id, ratchet_after = opened.session.session_id, opened.session.ratchet
        known = self._load(device)
        skipped = known.skipped[session_id]
        before = known.sessions[session_id].ratchet
        if before.chain != ratchet_after.chain and (session_id, before.chain) in known.waiting:
            waiting = known.waiting.pop((session_id, before.chain))
            self._ended[device, session_id, before.chain] = waiting, ratchet.sending_chain(before)
        if skipped and before.chain != ratchet_after.chain:
            # without its chain's header key a skipped key is useless to us, and only a risk
            oldest = min(chain for chain, _ in (*ratchet_after.old_headers, (ratchet_after.chain, b"")))
            store_sessions.drop_chain(self._db, session_id, oldest)
            for place in [place for place in skipped if place[0] < oldest]:
                del skipped[place]
        if opened.skipped:
            store_sessions.add_skipped(self._db, session_id, list(opened.skipped), now)
            skipped.update({(chain, number): key for chain, number, key in opened.skipped})
            self._bound_skipped(known, session_id)
            if len(skipped) > ratchet.MAX_SKIPPED:
                for place in store_sessions.trim_skipped(self._db, session_id, ratchet.MAX_SKIPPED):
                    skipped.pop(place, None)
        if opened.used is not None:
            store_sessions.drop_skipped(self._db, session_id, [opened.used])
            del skipped[opened.used]
        self.put(device, opened.session)

    def _bound_skipped(self, known: _DeviceSessions, session_id: SessionId) -> None:
        """Delete skipped keys of a device beyond the limit, which holds for all its sessions together; those of other
        sessions go first.
        """
        total = sum(len(known.skipped[session]) for session in known.sessions)
        for session in known.sessions:
            if session != session_id and total > ratchet.MAX_SKIPPED:
                surplus = total - ratchet.MAX_SKIPPED
                keep = max(0, len(known.skipped[session]) - surplus)
                for place in store_sessions.trim_skipped(self._db, session, keep):
                    known.skipped[session].pop(place, None)
                    total -= 1

    def write(self) -> None:
        """Write all changes since the last call to the database."""
        for device, session_id in self._touched:
            known = self._known[device]
            session = known.sessions.get(session_id)
            if session is not None:
                row = _row(device, session, known.created[session_id], pending=session_id in known.pending)
                store_sessions.save(self._db, row)
        self._touched.clear()
        for (device, session_id, chain), (waiting, carried) in self._ended.items():
            self._keep_chain(device, session_id, chain, waiting, carried)
        self._ended.clear()

    def _keep_chain(
        self, device: DeviceId, session_id: SessionId, chain: int, waiting: _Waiting, carried: ratchet.SendingChain
    ) -> None:
        """Store a sending chain that has ended, if a waiting row is sealed in it; delete earlier ones in which
        none is.
        """
        kept = self._load(device).chains_kept
        if session_id in kept:
            sending_chains.forget_unused(self._db, session_id)
            if not sending_chains.count(self._db, session_id):
                kept.discard(session_id)
        if waiting.count == 0:
            return
        header = ratchet.dump_chain(carried)
        row = SendingChainRow(device, session_id, chain, waiting.first_row, header)
        if sending_chains.keep(self._db, row):
            kept.add(session_id)

    def forget(self, device: DeviceId | None = None) -> None:
        """Drop the sessions of one device, or all, from memory; they are loaded again when next needed."""
        if device is not None:
            self._known.pop(device, None)
            for key in [key for key in self._touched if key[0] == device]:
                del self._touched[key]
            return
        self._known.clear()
        self._touched.clear()
        self._ended.clear()

    def _load(self, device: DeviceId) -> _DeviceSessions:
        known = self._known.get(device)
        if known is None:
            rows = store_sessions.for_device(self._db, device)
            sessions = {row.session_id: _session(row) for row in reversed(rows)}
            known = _DeviceSessions(
                sessions,
                _AutoSkipped(self._db),
                {row.session_id: row.created_at for row in rows},
                {row.session_id for row in rows if row.pending},
                {
                    (session.session_id, session.ratchet.chain): _Waiting(0, None)
                    for session in sessions.values()
                    if ratchet.can_send(session.ratchet)
                },
                set(sessions),
            )
            self._known[device] = known
        return known


class _AutoSkipped(dict[SessionId, Skipped]):
    """Skipped keys by session, loaded when a session is first used."""

    def __init__(self, db: Database) -> None:
        super().__init__()
        self._db = db

    def __missing__(self, session_id: SessionId) -> Skipped:
        loaded = {(chain, number): key for chain, number, key in store_sessions.skipped(self._db, session_id)}
        self[session_id] = loaded
        return loaded


def _finder(skipped: Skipped) -> ratchet.FindSkipped:
    return lambda chain, number: skipped.get((chain, number))


def _row(device: DeviceId, session: Session, created_at: int, *, pending: bool) -> SessionRow:
    return SessionRow(
        session_id=session.session_id,
        device=device,
        initiator=session.initiator,
        pair_root=session.pair_root,
        sas=session.sas,
        state=ratchet.dump(session.ratchet),
        created_at=created_at,
        confirmed=session.confirmed,
        receive_until=session.ends_at,
        pending=pending,
    )


def _session(row: SessionRow) -> Session:
    return Session(
        session_id=row.session_id,
        initiator=row.initiator,
        pair_root=row.pair_root,
        sas=row.sas,
        ratchet=ratchet.load(row.state),
        confirmed=row.confirmed,
        ends_at=row.receive_until,
    )
