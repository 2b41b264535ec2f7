"""The methods about groups. Each joins `methods.METHODS`, and so the API, together with the engine's method."""

from __future__ import annotations

from typing import Final

from p2pchat.api.table.shape import (
    CHAT,
    IN_CHAT,
    MESSAGE,
    MESSAGE_ID,
    Method,
    Param,
)

ROLES: Final = ("owner", "admin", "moderator", "member", "observer")
"""What a member may be, from the one who may do everything to those who only read and react."""

SETTINGS: Final = ("name", "topic", "description", "slow_mode", "locked", "invites", "newcomers", "history", "recovery")
"""What `set_group` can change."""

GROUP: Final = "{chat, name, topic, role, muted_until, members, requests, adding, settings, receipts, epoch, problem}"
_MEMBER = Param("member", "text", "A member of the group: their id, a unique prefix of it, or their name in the group.")
_ROLE_DOC = "`role` is owner, admin, moderator, member or observer"

METHODS: Final[tuple[Method, ...]] = (
    Method(
        "create_group",
        "Founds a group with the user as its owner, and adds contacts to it as `add_members` does.",
        "a chat, as in `chats`",
        (
            Param("name", "text", "What the group is called: at most 64 bytes of UTF-8."),
            Param("contacts", "texts", "Contacts: their ids, unique prefixes of them, or their names.", default=None),
            Param(
                "locked",
                "flag",
                "Only moderators and above write in it, as in a channel whose readers are known and can be removed.",
                default=False,
            ),
        ),
    ),
    Method(
        "add_members",
        "Adds contacts to a group. They are not asked: the group appears among their chats, with a line that says who "
        "added them, and they can leave it. Every member sees every other member. It is for admins and the owner, and "
        "for members too if the setting `invites` says so: whom they add is a member.",
        f"{GROUP}; as in `group`",
        (CHAT, Param("contacts", "texts", "Contacts: their ids, unique prefixes of them, or their names.")),
    ),
    Method(
        "remove_member",
        "Removes a member whose role is below the user's. They are removed for everyone who has seen it, and whoever "
        "has writes nothing that they can read; they keep what they have. `ban` says that they are not to come back.",
        f"{GROUP}; as in `group`",
        (
            CHAT,
            _MEMBER,
            Param("ban", "flag", "They are not to come back.", default=False),
            Param("reason", "text", "A reason for all members to see, at most 256 bytes of UTF-8.", default=""),
            Param(
                "others",
                "texts",
                "More members, named as `member`: at most 256 together are removed in one change, with new keys once, "
                "or none of them.",
                default=None,
            ),
        ),
    ),
    Method(
        "set_role",
        "Gives a member another role. The user's own role has to be above both the old and the new one. Only the owner "
        "can make somebody else the owner, and is an admin from then on.",
        f"{GROUP}; as in `group`",
        (CHAT, _MEMBER, Param("role", "text", "The new role.", choices=ROLES)),
    ),
    Method(
        "mute_member",
        "Mutes a member whose role is below the user's, for a time: their own node refuses to send what they write, "
        "and nobody else's shows it. They can still read and react. It is for moderators and above.",
        f"{GROUP}; as in `group`",
        (CHAT, _MEMBER, Param("seconds", "integer", "How long, at most 366 days; 0 ends it.")),
    ),
    Method(
        "hide_message",
        "Hides a message of a group for all: its text is gone, and who hid it and why is shown instead. It is for "
        "moderators and above, and for messages of members whose role is below the user's, or who are no members any "
        "more.",
        MESSAGE,
        (
            MESSAGE_ID,
            Param("reason", "text", "Why, for all members to see; at most 256 bytes of UTF-8.", default=""),
            IN_CHAT,
        ),
    ),
    Method(
        "report_message",
        "Tells those who moderate a group, at most 16 of them, about a message of a member: they read a line in the "
        "chat that says who reports it, and why. It is sealed to them: other members' nodes learn only that the user "
        "reports something. `readers` is how many it goes to, without the author of the message.",
        "{readers}",
        (
            MESSAGE_ID,
            Param("reason", "text", "Why, for them to see; at most 256 bytes of UTF-8.", default=""),
            IN_CHAT,
        ),
    ),
    Method(
        "group_reports",
        "Returns the lines of a group, the oldest first, in which members report a message that is still shown here: "
        "at most 100. `reply_to` is that message. A report ends when the message is hidden or deleted, or when the "
        "user deletes its line.",
        f"[{MESSAGE}]",
        (CHAT,),
    ),
    Method(
        "leave_group",
        "Leaves a group. The members are told; what was written stays in the chat, which can only be read from then "
        "on. An owner has to make somebody else the owner first.",
        "{chat, name}",
        (CHAT,),
    ),
    Method(
        "set_group",
        "Changes a setting of a group, for all members.",
        f"{GROUP}; as in `group`",
        (
            CHAT,
            Param("key", "text", "The setting.", choices=SETTINGS),
            Param(
                "value",
                "text",
                "`name`, `topic` and `description` are texts. `slow_mode` is the number of seconds between two "
                "messages of one member, 0 for none. `locked` is yes (only moderators and above write) or no. "
                "`invites` is who adds people: admins, or members too. `newcomers` is the number of hours in which "
                "somebody new sends neither links nor files. `history` is how many earlier messages somebody new is "
                "given: 0, 50 or 500. `recovery` names the admins who can replace a lost owner, and how many of them "
                "it takes, more than half: `2 of bob, carol, dan`; or it is off. Only the owner sets it.",
            ),
        ),
    ),
    Method(
        "recover_group",
        "Asks that a member becomes the owner, in place of one who is lost: for admins whom the setting `recovery` "
        "names. Once as many have asked as it takes, it happens 14 days later, unless the owner does anything in the "
        "group that everybody sees, at any time.",
        f"{GROUP}; as in `group`",
        (CHAT, _MEMBER),
    ),
    Method(
        "succeed_group",
        "Founds a group that takes the place of another, with the user as its owner, and says so in the other: for its "
        "owner and admins. Settings and roles are the same, except for `recovery` and that there is one owner. Members "
        "who are contacts of the user are added as by `add_members`: `offered` is their number, `missing` that of the "
        "others, who need an invite.",
        "{chat, offered, missing}",
        (CHAT, Param("name", "text", "What the new group is called: at most 64 bytes of UTF-8.")),
    ),
    Method(
        "keep_group",
        "Says, as the owner, that one is not lost: what was asked by `recover_group` so far is void.",
        f"{GROUP}; as in `group`",
        (CHAT,),
    ),
    Method(
        "group_receipts",
        "Tells members of a group who are contacts from now on which of their messages the user has read, once a "
        "minute at most, or tells them no more. It is off at first. They count it in `seen`; nobody else learns it.",
        f"{GROUP}; as in `group`",
        (CHAT, Param("wanted", "flag", "False ends it.", default=True)),
    ),
    Method(
        "group",
        "Returns what there is to know about a group. `role` and `muted_until` are the user's, null if they are not a "
        "member any more, or not muted; `members` is their number, `requests` that of those in `group_requests`, if "
        "the user decides, `adding` the names of the contacts who become members once their nodes have answered. "
        "`settings` has the settings that `set_group` changes. "
        "`receipts`: `group_receipts` is on. `epoch` says in words for people how old the present keys are; `problem` "
        "says in sentences what is wrong, also who asks for another owner, or is empty. "
        "In `settings`, `recovery` is {needed, members: [{id, name}]} or null.",
        f"{GROUP}; {_ROLE_DOC}",
        (CHAT,),
    ),
    Method(
        "group_members",
        "Lists the members of a group, the highest roles first. `name` is what a member calls themselves in this "
        "group, `me` is true for the user, `contact` is the name that the user gave to this person if they are a "
        "contact and said that this is them, otherwise null. `muted_until` is null for those who are not muted.",
        f"{{total, members: [{{id, name, role, me, contact, verified, muted_until}}]}}; {_ROLE_DOC}",
        (
            CHAT,
            Param("search", "text", "Only those in whose name this appears.", default=""),
            Param("offset", "integer", "How many to leave out, from the top.", default=0),
            Param("limit", "integer", "The maximum number of members, up to 1,000.", default=100),
        ),
    ),
    Method(
        "group_log",
        "Returns what was done in a group, newest last, in whole sentences for people: `text`. `op` is the kind of the "
        "event, `by` the name of the member who did it, `at` when this node learned of it, and `known_by` how many "
        "members are known to have seen it.",
        "[{id, at, text, by, op, known_by}]",
        (
            CHAT,
            Param("limit", "integer", "The maximum number of events.", default=50),
            Param("before", "text", "Only events before this one (its id).", default=None),
        ),
    ),
)

INVITES: Final[tuple[Method, ...]] = (
    Method(
        "group_requests",
        "Lists those who ask to join a group. `words` is what they wrote, `via` the invite that they used.",
        "[{id, name, words, at, via}]",
        (CHAT,),
    ),
    Method(
        "joining",
        "Lists the groups that the user has asked to join by an invite (`add`), since `at`, and that have not let them "
        "in. Whoever is declined is not told; it ends after 60 days.",
        "[{name, at}]",
    ),
    Method(
        "answer_request",
        "Makes somebody a member who asked to join, or declines; whoever is declined is not told.",
        "{id, name}",
        (
            CHAT,
            Param("id", "text", "A request: its id or a unique prefix of it."),
            Param("accept", "flag", "False declines.", default=True),
        ),
    ),
    Method(
        "group_invite",
        "Makes an invite to a group: whoever has its text can join, and `add` takes it. `text` is what to pass on.",
        "{id, text, expires}",
        (
            CHAT,
            Param("expires", "integer", "Seconds until it expires.", default=604_800),
            Param("uses", "integer", "How many people can use it; null for no limit.", default=None),
            Param(
                "ask", "flag", "Whoever uses it waits in `group_requests` until an admin accepts them.", default=False
            ),
            Param("role", "text", "The role of those who join by it.", default="member", choices=ROLES[1:]),
        ),
    ),
)
"""The methods about invites to groups."""
