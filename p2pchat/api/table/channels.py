"""The methods about channels."""

from __future__ import annotations

from typing import Final

from p2pchat.api.table.shape import (
    CHAT,
    Method,
    Param,
)

_CHANNEL: Final = (
    "{chat, name, id, mine, writes, private, posts, missing, withheld, heard, forked, problem}; `id` is what people "
    "compare and what a relay may refuse, `posts` how many there are, `missing` how many of them no relay has any "
    "more, `withheld` how many more there are by the writer's word that no relay hands out, `heard` when the writer "
    "last said that this is all (or null), `forked` whether they signed two different posts with one number, after "
    "which nothing more is taken, and `problem` what a person should know, or empty"
)

METHODS: Final[tuple[Method, ...]] = (
    Method(
        "create_channel",
        "Founds a channel: what the user writes there with `send` is for everybody who has its link. The user's relays "
        "mirror it. In a private channel the relays cannot read it; whoever has the link can, and can pass it on.",
        _CHANNEL,
        (
            Param("name", "text", "What it is called: at most 64 bytes of UTF-8."),
            Param("private", "flag", "Seal what is written, for those who have the link.", default=False),
        ),
    ),
    Method("channel", "Shows what is known of a channel.", _CHANNEL, (CHAT,)),
    Method(
        "channel_invite",
        "Returns the link of a channel: whoever has it can follow the channel, with `add`. It never ends, and anybody "
        "can pass it on.",
        "{text, name, private}",
        (CHAT,),
    ),
    Method(
        "channel_writers",
        "Lists who else writes in a channel, or did. The owner lets somebody write in it with `add`, under that name: "
        "`link` is for that person alone, and `add` of it lets whoever has it write. `remove` ends that; what they "
        "have written until then stays.",
        "{writers: [{name, id, posts, removed}], link}; `link` is null without `add`",
        (
            CHAT,
            Param("add", "text", "The name of a new writer.", default=None),
            Param("remove", "text", "The name of one who is to write nothing more.", default=None),
        ),
    ),
    Method(
        "channel_report",
        "Returns what the operator of a relay needs to refuse a channel. Nothing is sent.",
        "{id, name, link, relays}",
        (CHAT,),
    ),
)
