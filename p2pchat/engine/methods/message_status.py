"""Explains in words where a message is, why, and what happens next."""

from __future__ import annotations

from p2pchat.core.contents import File
from p2pchat.core.delivery import DeliveryState
from p2pchat.core.ids import first_device
from p2pchat.engine.delivery import mailbox_queues
from p2pchat.engine.files.live import Live
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.clock_hints import format_difference
from p2pchat.engine.runtime.views import Json
from p2pchat.lib.times import DAY_MS
from p2pchat.ports import Net
from p2pchat.store import contacts as store_contacts
from p2pchat.store import deposits as store_deposits
from p2pchat.store import files as store_files
from p2pchat.store import outbox as store_outbox
from p2pchat.store import queues as store_queues
from p2pchat.store import remarks
from p2pchat.store import renewals as store_renewals
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database
from p2pchat.store.deposits import DepositedCopy
from p2pchat.store.files import FileRow, FileState
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import logs as store_logs
from p2pchat.store.messages import MessageRow
from p2pchat.store.outbox import OutboxForm, OutboxRow

_NOTHING = "Nothing."
HOUR_S = 3600
_HIDDEN = (
    "It is sent when a circuit through one of your relays leads to them or to their relay. `p2pchat "
    "relays add` with their relay's address uses it at once, and shows your address to that relay."
)


def why(
    db: Database,
    row: MessageRow,
    contact: Contact | None,
    net: Net,
    apart: int = 0,
    *,
    full: bool = False,
    live: Live | None = None,
) -> Json:
    """Return the answer to `why`. `apart`: how far the contact's clock is ahead of ours, in ms, as far as that is
    known. `full`: the contact's node said that it has no room for more of ours now. `live`: what is known of files
    that move or are left at relays.
    """
    if contact is not None and contact.group is not None:
        return _in_group(db, row, contact, live)
    waiting = store_outbox.for_message(db, row.id) if row.mine else []
    lies = [deposit for row in waiting for deposit in store_deposits.of(db, row.pk)]
    reason, following = _why(db, row, contact, net, waiting, lies)
    file = store_files.get(db, row.pk) if row.kind == File.KIND.number else None
    if file is not None and file.state != FileState.HERE and contact is not None:
        problem = "" if live is None else live.problem(file, row.id)
        stored = None if live is None else live.stored(row.chat.hex(), row.id.hex())
        linked = net.route(contact.id) is not None
        if not waiting:
            reason, following = _why_file(file, contact, problem, stored if row.mine else None, linked=linked)
        elif file.state == FileState.WAITING and not linked:
            reason += f" {_lies(stored, problem)}"
    if full and contact is not None and row.state in (DeliveryState.SAVED, DeliveryState.STORED):
        reason = (
            f"{contact.name}'s node has no room for more from you now. It accepts more as they read, and every hour."
        )
    if abs(apart) >= DAY_MS and contact is not None and net.route(contact.id) is None and waiting:
        way = "behind" if apart > 0 else "ahead of"
        reason += (
            f" Your clock is {format_difference(apart)} {way} {contact.name}'s, and a link needs the two to be within "
            "a day of each other."
        )
    return {
        "id": row.id.hex(),
        "state": row.state,
        "reason": reason,
        "next": following,
        "relays": len(lies),
        "until": views.timestamp(max((copy.until for copy in lies), default=None)),
    }


def _in_group(db: Database, row: MessageRow, group: Contact, live: Live | None) -> Json:
    """Return the answer to `why` for a message of a group."""
    waiting = store_outbox.for_message(db, row.id) if row.mine else []
    lies = [deposit for outgoing in waiting for deposit in store_deposits.of(db, outgoing.pk)]
    names = sorted(name for id, name, _ in store_contacts.names(db) if id in {outgoing.contact for outgoing in waiting})
    logs = [log for log in store_logs.of(db, row.chat) if log.until is None]
    lacking = store_logs.lacking(db, row.id)
    following = _NOTHING
    if not row.mine:
        reason = "It is here."
    elif group.group is not None and store_groups.waits(db, group.group, row.id):
        reason = "It waits for keys that only the present members of the group have."
        following = "It is sent when a member who manages the group has renewed the keys."
    elif lacking and lacking >= len(logs):
        reason = "No relay of the group has it yet."
        following = "It is put there as soon as one of them answers; all members read it there."
    elif logs:
        reason = "It is at a relay of the group, where all members read it."
    elif names:
        reason = f"It is on its way to {', '.join(names)}, who pass it on to the other members."
        following = "It is sent again until their nodes have it."
    else:
        reason = "The members who are your contacts have it, and pass it on to the others."
    file = store_files.get(db, row.pk) if row.kind == File.KIND.number else None
    if file is not None and row.mine:
        stored = None if live is None else live.stored(row.chat.hex(), row.id.hex())
        reason += f" {_our_file_in_group(file, stored, '' if live is None else live.problem(file, row.id))}"
    elif file is not None:
        reason, following = _their_file_in_group(file, "" if live is None else live.problem(file, row.id))
    seen = remarks.of_message(db, row).seen
    if seen:
        reason += f" {seen} {'member says' if seen == 1 else 'members say'} that they have read it."
    until = views.timestamp(max((copy.until for copy in lies), default=None))
    return {
        "id": row.id.hex(),
        "state": row.state,
        "reason": reason,
        "next": following,
        "relays": len(lies),
        "until": until,
    }


def _our_file_in_group(file: FileRow, stored: float | None, problem: str) -> str:
    """Return where one of our files is that was sent to a group."""
    if file.state in (FileState.GONE, FileState.FAILED):
        return file.problem
    if file.state == FileState.PAUSED:
        return "You have paused its file."
    if file.state == FileState.HERE:
        return "Its file was left for the members for seven days; who is a contact can still fetch it here."
    if stored is not None and stored >= 1:
        return "The whole file is at the group's relays for seven days, so this computer can be off."
    share = "Nothing" if stored is None else f"{int(100 * stored)} %"
    return f"{share} of the file is at the group's relays; keep this computer on. {problem}".strip()


def _their_file_in_group(file: FileRow, problem: str) -> tuple[str, str]:
    """Return where a file is that another member sent."""
    if file.state == FileState.HERE:
        return "It is here.", _NOTHING
    if file.state in (FileState.GONE, FileState.FAILED):
        return file.problem or "It is gone.", _NOTHING
    if file.state == FileState.PAUSED:
        return "You have paused it.", "It goes on when you say so."
    if file.state == FileState.OFFERED:
        return (
            "It is not fetched by itself: its sender is no contact of yours, it is too large, or the setting says so.",
            "It is fetched when you ask for it.",
        )
    if problem:
        return problem, "It is tried again and again, at the group's relays and at members who have it."
    return "It is being fetched, from a member or the group's relays.", "It is here when every part has come."


def _why(
    db: Database,
    row: MessageRow,
    contact: Contact | None,
    net: Net,
    waiting: list[OutboxRow],
    lies: list[DepositedCopy],
) -> tuple[str, str]:
    if (settled := _why_settled(row, contact)) is not None:
        return settled
    assert contact is not None
    gives_up = _NOTHING
    if waiting:
        until = min(waiting[0].expires_at, waiting[0].keep_until or waiting[0].expires_at)
        gives_up = f"Tried until {views.timestamp(until)}."
    asked = first_message(db, contact)
    if asked and contact.state == ContactState.WAITING:
        reason = f"Your request to {contact.name} is {stored(asked)}."
        return reason, f"They see it when their node runs; this message is sent when they have accepted. {gives_up}"
    if contact.identity is None:
        return f"{contact.name}'s node has not been reached with the invite yet.", f"The node keeps trying. {gives_up}"
    if contact.state == ContactState.WAITING:
        return f"{contact.name} has not accepted yet.", f"It is sent as soon as they do. {gives_up}"
    if store_renewals.get(db, first_device(contact.id)).wanted_at is not None:
        return _renewing(db, contact, net.route(contact.id) is not None, gives_up)
    if net.route(contact.id) is not None:
        if row.state == DeliveryState.STORED and not lies:
            return (
                f"{contact.name}'s node has it; only the receipt is missing.",
                f"It is sent again within a day. {gives_up}",
            )
        return "It is on its way.", f"An answer is due at any moment. {gives_up}"
    return _without_link(db, row, contact, lies, gives_up)


def _lies(stored: float | None, problem: str) -> str:
    """Return how much of one of our files is at relays, for one whose recipient is away."""
    if stored is not None and stored >= 1:
        return "The whole file is at their relays, or was fetched from there, so this computer can be off."
    share = "Nothing" if stored is None else f"{int(100 * stored)} %"
    return f"{share} of the file is at their relays; keep this computer on. {problem}".strip()


def _why_file(file: FileRow, contact: Contact, problem: str, stored: float | None, *, linked: bool) -> tuple[str, str]:
    """Return the explanation of a file whose message has arrived, while the file has not."""
    if file.state == FileState.GONE:
        return file.problem or "It is gone.", _NOTHING
    if file.state == FileState.FAILED:
        return file.problem, "It can be sent again." if file.mine else "It can be fetched again."
    if file.state == FileState.PAUSED:
        return "You have paused it.", "It goes on when you say so."
    if file.state == FileState.OFFERED:
        return (
            "It is not fetched by itself: it is too large, or the setting says so.",
            "It is fetched when you ask for it.",
        )
    if not linked and file.mine:
        return f"There is no link with {contact.name}'s node. {_lies(stored, problem)}", (
            "Their node fetches it from there when it runs." if stored == 1 else "It goes on when there is a link."
        )
    if problem:
        return problem, "It is tried again and again."
    if not linked:
        return f"There is no link with {contact.name}'s node; your relays are asked too.", (
            "It goes on when there is a link."
        )
    if file.mine:
        return f"{contact.name}'s node has the message, and not the whole file yet.", "It is given as it is asked for."
    return "It is being fetched.", "It is here when every part has come."


def _why_settled(row: MessageRow, contact: Contact | None) -> tuple[str, str] | None:
    """Return the explanation of a message that is not being sent, or not any more; None for others."""
    if contact is not None and contact.state == ContactState.SELF:
        return "You wrote it for yourself: it stays here and is not sent.", _NOTHING
    if not row.mine:
        return "This message was received.", _NOTHING
    if contact is not None and contact.state == ContactState.CHANNEL:
        if row.state == DeliveryState.SAVED:
            return "No relay of the channel has this post yet.", "It is put there as soon as one answers."
        return "Relays of the channel have this post, for everybody who has its link.", _NOTHING
    if row.deleted_at is not None:
        return "You deleted it for both of you.", "Their node is asked to delete it, as soon as it is reached."
    if row.state in (DeliveryState.DELIVERED, DeliveryState.READ):
        return f"It was {row.state}, as their node confirmed.", _NOTHING
    if contact is None or contact.state in (ContactState.BLOCKED, ContactState.FORGOTTEN):
        return "Nothing is sent to this contact.", _NOTHING
    if row.state == DeliveryState.FAILED:
        return "Delivery was not confirmed in time, or the invite did not work.", "Send it again if it still matters."
    return None


def _renewing(db: Database, contact: Contact, linked: bool, gives_up: str) -> tuple[str, str]:
    reason = (
        f"The session with {contact.name} has to be renewed: one of you was restored from a copy, or lost "
        "many messages."
    )
    if linked:
        return reason, f"The renewal is under way over the link, and is tried again within the hour. {gives_up}"
    if any(queue.flags == 0 for queue in store_queues.theirs(db, first_device(contact.id))):
        return reason, f"Their node was asked through relays, and answers when it runs. {gives_up}"
    return reason, f"That happens as soon as there is a link. {gives_up}"


def _without_link(
    db: Database, row: MessageRow, contact: Contact, lies: list[DepositedCopy], gives_up: str
) -> tuple[str, str]:
    if store_renewals.get(db, first_device(contact.id)).began_anew and not lies:
        return f"{contact.name} was asked to begin anew with you.", f"It is sent as soon as they accept. {gives_up}"
    if lies:
        following = f"{contact.name}'s node finds it there as soon as it runs; its receipt follows within minutes."
        return f"It is {stored(lies)}.", f"{following} {gives_up}"
    if row.state == DeliveryState.STORED:
        return (
            f"{contact.name}'s node has it; only the receipt is missing.",
            f"It is sent again within a day. {gives_up}",
        )
    no_link = f"There is no link with {contact.name}'s node"
    if is_out_of_reach(db, contact):
        reason = f"{no_link}, and you hide your address from {contact.name}: none of their relays is one of yours."
        return reason, f"{_HIDDEN} {gives_up}"
    if 0 < row.expire_s < HOUR_S:
        return (
            f"{no_link}, and messages that disappear within an hour are not given to relays.",
            f"The node keeps trying. {gives_up}",
        )
    if any(queue.flags == 0 for queue in store_queues.theirs(db, first_device(contact.id))):
        return f"{no_link}, and their relays have not taken it yet.", f"The node keeps trying both. {gives_up}"
    return f"{no_link}.", f"It is dialled again within 5 minutes. {gives_up}"


def is_out_of_reach(db: Database, contact: Contact) -> bool:
    """Return whether a hidden contact collects only at relays to which we do not go."""
    if not contact.hidden:
        return False
    theirs = {queue.relay for queue in store_queues.theirs(db, first_device(contact.id)) if queue.flags == 0}
    return not theirs & mailbox_queues.ours(db).keys()


def first_message(db: Database, contact: Contact) -> list[DepositedCopy]:
    """Return where our first message to a contact lies."""
    rows = [row for row in store_outbox.for_recipient(db, first_device(contact.id)) if row.form == OutboxForm.INITIAL]
    return [deposit for row in rows for deposit in store_deposits.of(db, row.pk)]


def stored(lies: list[DepositedCopy]) -> str:
    """Return a line for people: `stored at 2 relays until 21 Dec`."""
    count = "a relay" if len(lies) == 1 else f"{len(lies)} relays"
    return f"stored at {count} until {views.day(max(copy.until for copy in lies))}"
