"""The methods about channels."""

from __future__ import annotations

from typing import Final

from p2pchat.api.table.shape import (
    CHAT,
    Method,
    Param,
)

_CHANNEL: Final = (
    "{chat, name, id, mine, writes, private, mirrors, posts, missing, withheld, heard, forked, problem, comments}; "
    "`id` is what people compare and what a relay may refuse, `posts` how many there are, `missing` how many of them "
    "no relay has any more, `withheld` how many more there are by the writer's word that no relay hands out, `heard` "
    "when the writer last said that this is all (or null), `forked` whether they signed two different posts with one "
    "number, after which nothing more is taken, and `problem` what a person should know, or empty. `mirrors`: what "
    "others write in it is handed on at relays of the user. `comments` is {name, text, expires, chat} of the group in "
    "which people talk about it, or null: `text` is an invite for `add`, `chat` the group's, if the user is in it"
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
        "channel_relays",
        "Lists the relays that mirror a channel. Its owner changes them: the signed head names them, and readers go "
        "there as soon as they see it. `leaving` are those that mirror it no longer and have not been told yet; they "
        "keep the head that says where the others are.",
        "{relays, leaving}",
        (
            CHAT,
            Param("add", "text", "The address of one more relay, MULTIADDR or MULTIADDR#TOKEN.", default=None),
            Param("remove", "text", "The address of one that is to mirror it no longer.", default=None),
        ),
    ),
    Method(
        "channel_comments",
        "Returns the group in which people talk about a channel. Its owner links one: whoever reads the channel can "
        "ask to join it, and its admins decide. The invite names whoever made it by their key, and their relays.",
        "{comments}, as in `channel`",
        (
            CHAT,
            Param("group", "text", "The chat of a group of which the user is an admin.", default=None),
            Param("remove", "flag", "Link none, and end the invite.", default=False),
        ),
    ),
    Method(
        "channel_mirror",
        "Says whether what others write in a channel is handed on at relays of the user, so that it outlives its own; "
        "with `mirrors`, after a change. The link of it then names one of these relays too. `problem` is what is wrong "
        "with one of them, or empty.",
        "{mirrors, relays, problem}",
        (CHAT, Param("mirrors", "flag", "Hand it on, or no longer; null changes nothing.", default=None)),
    ),
    Method(
        "channel_report",
        "Returns what the operator of a relay needs to refuse a channel. Nothing is sent.",
        "{id, name, link, relays}",
        (CHAT,),
    ),
)
