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
        "The relays this profile uses, best first, and how it stands with them. `state` is connected, connecting, "
        "unreachable or refused; `used`: it is one of the two where envelopes wait for us; `kept`: for longer than "
        "this run; `contact`: whose node it is, or null. At the end those that contacts offer and that are not used, "
        "with the state offered. One may be removed first, and one added, which waits a moment for its answer; its row "
        "says `added`. Of a relay that is in the list already, a token or an address that works is not given up "
        "(NotNow), unless `replace`.",
        "[{address, state, since, problem, used, kept, contact, added}]",
        (
            Param(
                "add",
                "text",
                "The address of a relay, with `#` and its token where it wants one; or a contact who offers to be one.",
                default=None,
            ),
            Param("remove", "text", "The address of one of them.", default=None),
            Param("replace", "flag", "What is added takes the place of the relay's entry.", default=False),
        ),
    ),
    Method(
        "offer",
        "Whether this node is a small relay for its contacts, in `relay`: null until a person answered, here. "
        "`reachable`: a contact has reached it from outside at a public address. `notice` says in words what is so, "
        "what it means, and what it shows.",
        "{relay, reachable, notice}",
        (Param("answer", "flag", "Be one from now on, or no more.", default=None),),
    ),
    Method("doctor", "What works from here and what does not.", "[{check, ok, detail, hint}]"),
)
