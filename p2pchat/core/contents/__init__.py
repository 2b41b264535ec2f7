"""The kinds of content, one module each, and the table of them all.

A new kind is a module here (its payload, its limits and its row), a module of the same name in `engine.contents` (its
effect on arrival), and a line in `KINDS`. All other code asks the `Kind` for its properties; only operations that
concern texts alone (editing, deleting for both, sending again) check for that kind by its number. Type numbers are
never reused: docs/protocol/content.md says which are free.

file       a file, and how it is opened       transfer   what is said as it goes on
kind       the description of a kind, and the base classes of payloads
text       a message                          edit       a new text for a message
delete     a delete for both sides            reaction   an emoji under a message
pin        a message at the top of the chat   target     how such contents name their message
receipt    delivered or read                  timer      how long messages stay
typing     somebody is typing                 profile    what a person tells about themselves
addresses  where the sender can be dialled    queues     where to deposit for the sender
bundle     new keys for beginning a session   relay      the sender's node as a relay
request    a request for a new session        reset      the beginning of a renewed session

group_offer    an invitation to a group         group_join     its answer, with the newcomer's keys
group_welcome  what a new member needs          group_refusal  why somebody does not become one
group_history  what was written before          group_item     what is said in a group, passed on
group_member   which member the sender is       group_ask      an invite to a group is used
group_meet     by what contacts know a member   group_notice   a line about what was done, never sent
group_lost     a member cannot read any more   group_want     messages that have not arrived
hide           a message is hidden for all
report         a message is reported to moderators
mention        whom a text of a group mentions
group_seen     what its author's contacts have read
"""

from __future__ import annotations

from p2pchat.core.contents.addresses import Addresses
from p2pchat.core.contents.bundle import NewBundle
from p2pchat.core.contents.delete import Delete
from p2pchat.core.contents.edit import Edit
from p2pchat.core.contents.file import File
from p2pchat.core.contents.group_ask import GroupAsk
from p2pchat.core.contents.group_history import GroupHistory
from p2pchat.core.contents.group_item import GroupItem
from p2pchat.core.contents.group_join import GroupJoin
from p2pchat.core.contents.group_lost import GroupLost
from p2pchat.core.contents.group_meet import GroupMeet
from p2pchat.core.contents.group_member import GroupMember
from p2pchat.core.contents.group_notice import GroupNotice
from p2pchat.core.contents.group_offer import GroupOffer
from p2pchat.core.contents.group_refusal import GroupRefusal
from p2pchat.core.contents.group_seen import GroupSeen
from p2pchat.core.contents.group_want import GroupWant
from p2pchat.core.contents.group_welcome import GroupWelcome
from p2pchat.core.contents.hide import Hide
from p2pchat.core.contents.kind import AnyPayload, Kind, Payload, Unknown
from p2pchat.core.contents.pin import Pin
from p2pchat.core.contents.profile import ContactProfile
from p2pchat.core.contents.queues import Queues
from p2pchat.core.contents.reaction import Reaction
from p2pchat.core.contents.receipt import Receipt
from p2pchat.core.contents.relay import ContactRelay
from p2pchat.core.contents.report import Report
from p2pchat.core.contents.request import RenewalRequest
from p2pchat.core.contents.reset import Reset
from p2pchat.core.contents.text import Text
from p2pchat.core.contents.timer import Timer
from p2pchat.core.contents.transfer import Transfer
from p2pchat.core.contents.typing import Typing

__all__ = [
    "KINDS",
    "Addresses",
    "AnyPayload",
    "ContactProfile",
    "ContactRelay",
    "Delete",
    "Edit",
    "File",
    "GroupAsk",
    "GroupHistory",
    "GroupItem",
    "GroupJoin",
    "GroupLost",
    "GroupMeet",
    "GroupMember",
    "GroupNotice",
    "GroupOffer",
    "GroupRefusal",
    "GroupSeen",
    "GroupWant",
    "GroupWelcome",
    "Hide",
    "Kind",
    "NewBundle",
    "Payload",
    "Pin",
    "Queues",
    "Reaction",
    "Receipt",
    "RenewalRequest",
    "Report",
    "Reset",
    "Text",
    "Timer",
    "Transfer",
    "Typing",
    "Unknown",
    "kind_of",
]

KINDS: dict[int, type[Payload]] = {
    payload.KIND.number: payload
    for payload in (
        Text,
        Edit,
        Delete,
        Reaction,
        File,
        Receipt,
        Typing,
        Timer,
        Queues,
        NewBundle,
        Reset,
        ContactProfile,
        Addresses,
        ContactRelay,
        RenewalRequest,
        Pin,
        Transfer,
        GroupOffer,
        GroupJoin,
        GroupWelcome,
        GroupItem,
        GroupMember,
        GroupMeet,
        GroupLost,
        GroupWant,
        GroupSeen,
        GroupHistory,
        GroupRefusal,
        GroupAsk,
        Hide,
        Report,
    )
}


def kind_of(number: int | None) -> Kind:
    """Return the kind with this type number, or `Unknown.KIND` if it is not known here or is None (not a content).
    That of a notice is known, though it is no content.
    """
    if number == GroupNotice.KIND.number:
        return GroupNotice.KIND
    payload = None if number is None else KINDS.get(number)
    return Unknown.KIND if payload is None else payload.KIND
