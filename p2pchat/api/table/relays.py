"""The methods about relays, and what works from here."""

from __future__ import annotations

from typing import Final

from p2pchat.api.table.shape import (
    Method,
    Param,
)

METHODS: Final[tuple[Method, ...]] = (
    Method(
        "relays",
        "Lists the relays that this profile uses, best first, with their state: connected, connecting, "
        "unreachable or refused. `used`: it is one of the two that store envelopes for this profile; `kept`: "
        "it is used for longer than this run; `contact`: whose node it is, or null. At the end, with the "
        "state offered, are relays that contacts offer and that are not used. One can be removed first, and "
        "one added; the call then waits a moment for that relay's answer, and its row has `added`. A working "
        "token or address of a relay in the list is not replaced (NotNow) without `replace`. With `all`, there follow, "
        "with the state told, those that others have told of and that are tried while none of the profile's answers: "
        "`told_by` is relay or contact, `source` the relay's address or the contact, null if they are gone; `since`: "
        "when that was; `worked`: when it last answered, null if never; `in_use`: it is connected now; `stores`: it "
        "keeps envelopes too. To remove such a one is to forget it, until it is told of again.",
        "[{address, state, since, problem, used, kept, contact, added}], and {told_by, source, worked, in_use, stores}",
        (
            Param(
                "add",
                "text",
                "The address of a relay, with `#` and its token if it requires one; or a contact who offers to be a "
                "relay.",
                default=None,
            ),
            Param("remove", "text", "The address of one of them.", default=None),
            Param("replace", "flag", "Let the added address replace the relay's entry.", default=False),
            Param("all", "flag", "List the relays that others have told of too.", default=False),
        ),
    ),
    Method(
        "offer",
        "Returns, and optionally changes, whether this node is a small relay for its contacts, in `relay`: "
        "null until the user has decided. `reachable`: a contact has reached it from outside at a public "
        "address. `notice` describes in words the current state, what it means, and what it reveals.",
        "{relay, reachable, notice}",
        (Param("answer", "flag", "Be a relay, or stop being one.", default=None),),
    ),
    Method(
        "keys",
        "Returns since when the transport key is in use by which relays and whoever connects know this node, and in "
        "`next` from when on another takes its place, at a start of the node; null if none is made. `unheard`, "
        "`invites`: that waits for contacts who have not heard of it, and for open invites that name the present one. "
        "`relay`: the node is a relay for contacts, so only the key for hidden contacts is replaced, of which the rest "
        "is said. With `rotate`, the next key is made now and contacts are told. `notice` says all of that in words.",
        "{since, next, unheard, invites, relay, notice}",
        (Param("rotate", "flag", "Make the next key now.", default=False),),
    ),
    Method(
        "parcel_out",
        "Writes what waits in the outbox into a new file, sealed, to be carried by hand to contacts whom no "
        "network reaches. It stays in the outbox until its receipts come back. `messages` of `envelopes` are "
        "messages, the others receipts and the like; `more`: not everything fitted.",
        "{file, bytes, contacts, messages, envelopes, more}",
        (
            Param("file", "text", "The absolute path of a file that does not exist."),
            Param("to", "texts", "Only for these contacts; null for all.", default=None),
        ),
    ),
    Method(
        "parcel_in",
        "Takes what contacts sent to this profile out of a file made by `parcel_out`; a second time changes "
        "nothing. For each contact: how many new `messages`, `other` new contents (receipts and the like), entries "
        "`known` from before, `left` because there is no room for more of that contact, and `unreadable`.",
        "{file, entries, from: [{id, name, messages, other, known, left, unreadable}]}",
        (Param("file", "text", "The absolute path of the file."),),
    ),
    Method(
        "network",
        "Returns what is known about the network. `families`, `public`: of which of IPv4 and IPv6 this machine has "
        "an address, and a public one; `default_route`: whether there is a way to the internet, null if the system "
        "does not say; `addresses`: where the node listens, each with its `scope`: public, local or loopback; "
        "`reached`: a contact has reached it from outside at an address that is its own now. For each relay: its state "
        "and since when, `answer_ms`: "
        "how long its last answer took, `transport`: the pluggable transport that disguises the connection, or null, "
        "`queues`: how many of the profile's it holds, `stored`: how many envelopes for others are there, "
        "`port_mapping`: whether the router has opened a port, and at which address; `transports`: the pluggable "
        "transports that are set up. "
        "`circuits`: others can reach this node through it, `unlisted`: nobody else is told of it. `other_relays`: "
        "how many others are `known`, have `worked`, and are `in_use`. `freezing`: with how many hosts this network "
        "freezes connections, so that `short` ones are made; `family`: IPv4 or IPv6, null over a circuit; `hops`: 2 "
        "if mailboxes are opened through a second relay. For each contact: `label`, the name with digits of the id "
        "if another looks like it, `route`, as in `contacts`, `relay` of a circuit, the number of `ways` that the "
        "node knows, when they last failed, and what is `waiting`. `rows` says all of that in words: `about` is "
        "here, relays, contacts or seen (what others can see), `check` is as in `doctor`, `state` is good, note or "
        "bad. `next` says what to try. There will be more fields, and more rows.",
        "{at, families, public, default_route, addresses, port_mapping: {state, address, protocol}, reached, "
        "proxy, lan, transports: [{name, running, "
        "problem}], clock_right, freezing, hops, relays: [{address, state, since, problem, answer_ms, used, contact, "
        "queues, stored, keeps_hours, circuits, hours_ahead, unwatched, family, short, unlisted, transport}], "
        "other_relays: {known, worked, in_use}, contacts: [{id, name, label, state, hidden, route, relay, family, "
        "link_seconds, stalled, ways, tried_seconds_ago, relays, waiting}], rows: [{about, check, state, detail, "
        "hint}], next: [text]}",
    ),
    Method(
        "doctor",
        "Checks what works and what does not. `state` is good, bad, or note: it is so, and could be otherwise; only "
        "what is bad is not `ok`.",
        "[{check, ok, state, detail, hint}]",
    ),
)
