"""Verbs about groups: group create show members add invite requests accept decline remove ban role mute hide report
reports set recover keep successor leave log."""

from __future__ import annotations

import math
import shlex
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from p2pchat import errors
from p2pchat.api.client import Client
from p2pchat.api.table.groups import ROLES, SETTINGS
from p2pchat.cli import answers
from p2pchat.cli.context import Context
from p2pchat.cli.options import Arg, Verb, count, duration, opt, timed, with_actions
from p2pchat.cli.output import Cell, cell, short_date
from p2pchat.lib.english import counted, with_article
from p2pchat.lib.lookalikes import labels
from p2pchat.lib.moments import localized
from p2pchat.lib.times import HOUR_SECONDS, format_duration
from p2pchat.sanitize import clean_line

_GROUP = Arg("CHAT", "a group: its id, a unique prefix of it, or its name")
_MEMBER = Arg("M", "a member: their id, a unique prefix of it, or their name in `p2pchat group members CHAT`")
_MEMBERS = Arg(
    "M", "members: their ids, unique prefixes of them, or their names in `p2pchat group members CHAT`", each=True
)
_MESSAGE = Arg("ID", "a message: its id or a unique prefix of it")
_REQUEST = Arg("ID", "a request: its id or a unique prefix of it")
_CONTACTS = "your contacts: their ids, unique prefixes of them, or their names"
_REASON = opt("--reason", metavar="TEXT", default="", help="why; all members see it")
_PAGE = 1000
"""Members that are asked of the node at a time."""
_TRUTH = {"yes": "yes", "on": "yes", "no": "no", "off": "no"}
_ROLE_STYLES = {"owner": "yellow", "admin": "yellow", "moderator": "cyan", "observer": "dim"}
_SEEN = "They are removed for everyone who has seen it; `p2pchat group log {chat}` shows how many have."


def create(context: Context, args: Namespace) -> int:
    """Found a group; its id is the only output on stdout."""
    with context.client() as client:
        result = client.call("create_group", name=args.name, contacts=args.c)
    if context.out.json:
        context.out.object(result)
        return 0
    context.out.line(result["id"])
    context.out.note(
        "You are its owner. Every member sees every other member. `p2pchat group add` adds more contacts; `p2pchat "
        "group invite` makes an invite for people who are not your contacts."
    )
    return 0


def show(context: Context, args: Namespace) -> int:
    """Show a group and its rules."""
    with context.client() as client:
        group = client.call("group", chat=args.chat)
    if context.out.json:
        context.out.object(group)
        return 0
    rows = [
        ("members", f"{group['members']:,}"),
        *([("requests", f"{group['requests']:,}, see `p2pchat group requests`")] if group.get("requests") else []),
        *([("being added", ", ".join(group["adding"]))] if group.get("adding") else []),
        ("you are", group["role"] or "not a member any more"),
        *([("muted until", short_date(group["muted_until"]))] if group.get("muted_until") else []),
        ("keys", localized(group["epoch"]) or "-"),
        *_rules(group["settings"]),
        ("receipts", "yes" if group.get("receipts") else "no"),
        ("name", group["name"]),
        ("topic", group["topic"] or "-"),
    ]
    if description := group["settings"].get("description"):
        rows.append(("description", description))
    context.out.table([[cell(name, "dim"), cell(value)] for name, value in rows])
    if group["problem"]:
        context.out.note(clean_line(localized(group["problem"])))
    return 0


def _rules(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the rules as `group set` takes them. Texts that members chose are no rules."""
    for key in SETTINGS:
        value = settings.get(key)
        if key in ("name", "topic", "description") or value is None:
            continue
        if isinstance(value, bool):
            yield key, "yes" if value else "no"
        elif key == "recovery":
            yield key, f"{value['needed']} of {', '.join(member['name'] for member in value['members'])}"
        elif key in ("slow_mode", "newcomers"):
            unit = "s" if key == "slow_mode" else "h"
            yield key, f"{value}{unit}" if value else "off"
        else:
            yield key, str(value)


def members(context: Context, args: Namespace) -> int:
    """List the members of a group."""
    with context.client() as client:
        found = _members(client, args.chat, args.search, args.limit)
    if context.out.json:
        for member in found:
            context.out.object(member)
        return 0
    if not found:
        context.out.note("Nobody in this group is called that.")
    shown = labels([(member["name"], member["id"]) for member in found])
    context.out.table([_member_row(member, label) for member, label in zip(found, shown, strict=True)])
    return 0


def _members(client: Client, chat: str, search: str, limit: int | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while limit is None or len(found) < limit:
        wanted = _PAGE if limit is None else min(_PAGE, limit - len(found))
        answer = client.call("group_members", chat=chat, search=search, offset=len(found), limit=wanted)
        found += answer["members"]
        if not answer["members"] or len(found) >= answer["total"]:
            break
    return found


def _member_row(member: Mapping[str, Any], label: str) -> list[Cell]:
    """Return a row whose last column alone is what the member chose."""
    known = "you" if member["me"] else member["contact"] or "-"
    muted = f", muted until {short_date(member['muted_until'])}" if member["muted_until"] else ""
    verified = "verified" if member["verified"] else "not verified" if member["contact"] else "-"
    return [
        cell(member["id"], "dim"),
        cell(f"{member['role']}{muted}", _ROLE_STYLES.get(member["role"], "")),
        cell(verified, "green" if member["verified"] else "dim"),
        cell(known, "dim" if known == "-" else ""),
        cell(label, "bold"),
    ]


def add(context: Context, args: Namespace) -> int:
    """Add contacts to a group."""
    each = "They are a member once their node has" if len(args.c) == 1 else "Each is a member once their node has"
    words = f"Being added: {', '.join(args.c)}. {each} answered; `p2pchat group show` says who is waited for."
    return answers.say(context, words, "add_members", chat=args.chat, contacts=args.c)


def remove(context: Context, args: Namespace) -> int:
    """Remove a member."""
    return _remove(context, args, ban=False)


def ban(context: Context, args: Namespace) -> int:
    """Remove a member who is not to come back."""
    return _remove(context, args, ban=True)


def _remove(context: Context, args: Namespace, *, ban: bool) -> int:
    first, *others = args.m
    words = f"{', '.join(args.m)} {'are' if others else 'is'} {'banned' if ban else 'removed'}."
    names = {"member": first, "others": others}
    code = answers.say(context, words, "remove_member", chat=args.chat, **names, ban=ban, reason=args.reason)
    if not context.out.json:
        context.out.note(_SEEN.format(chat=shlex.quote(args.chat)))
    return code


def role(context: Context, args: Namespace) -> int:
    """Give a member another role."""
    words = f"{args.m} is {with_article(args.role)} now."
    return answers.say(context, words, "set_role", chat=args.chat, member=args.m, role=args.role)


def recover(context: Context, args: Namespace) -> int:
    """Ask that a member becomes the owner in place of one who is lost."""

    def words(group: dict[str, Any]) -> str:
        return f"You ask that {args.m} becomes the owner. {clean_line(localized(group['problem']))}".rstrip()

    return answers.say(context, words, "recover_group", chat=args.chat, member=args.m)


def keep(context: Context, args: Namespace) -> int:
    """Say that one is the owner, and not lost."""
    return answers.say(context, "You stay the owner; what was asked is void.", "keep_group", chat=args.chat)


def receipts(context: Context, args: Namespace) -> int:
    """Tell members who are contacts what one reads in a group, or no more."""
    wanted = args.wanted == "yes"
    words = "Your contacts in this group count you from now on." if wanted else "Nobody is told any more."
    return answers.say(context, words, "group_receipts", chat=args.chat, wanted=wanted)


def mute(context: Context, args: Namespace) -> int:
    """Mute a member for a time, or end it."""
    seconds = timed(args.duration)
    words = f"{args.m} is muted for {format_duration(seconds)}." if seconds else f"{args.m} is not muted any more."
    return answers.say(context, words, "mute_member", chat=args.chat, member=args.m, seconds=seconds)


def hide(context: Context, args: Namespace) -> int:
    """Hide a message of a member for all."""
    return answers.say(context, "Hidden for all members.", "hide_message", id=args.id, reason=args.reason or "")


def report(context: Context, args: Namespace) -> int:
    """Report a message to those who moderate its group."""

    def words(result: dict[str, Any]) -> str:
        return f"Reported to those who moderate the group: {counted(result['readers'], 'member')}."

    return answers.say(context, words, "report_message", id=args.id, reason=args.reason or "")


def reports(context: Context, args: Namespace) -> int:
    """List the reports of messages that are still shown."""

    def row(line: dict[str, Any]) -> list[Cell]:
        return [cell(line["reply_to"], "dim"), cell(short_date(line["sent_at"]) or "-", "dim"), cell(line["text"])]

    found = answers.show(context, row, "There are no open reports.", "group_reports", chat=args.chat)
    if found and not context.out.json:
        context.out.note(
            "`p2pchat group hide ID REASON` hides a message for all. To keep it, delete the report here: its id is in "
            "--json, for `p2pchat delete`."
        )
    return 0


def successor(context: Context, args: Namespace) -> int:
    """Found a group in the place of another; its id is the only output on stdout."""
    with context.client() as client:
        result = client.call("succeed_group", chat=args.chat, name=args.name)
    if context.out.json:
        context.out.object(result)
        return 0
    context.out.line(result["chat"])
    context.out.note(f"You are its owner, and your contacts there are added to it: {result['offered']:,}.")
    if result["missing"]:
        context.out.note(
            f"Not your contacts: {result['missing']:,}. `p2pchat group invite` makes an invite that you can send "
            "to the group as it was."
        )
    return 0


def leave(context: Context, args: Namespace) -> int:
    """Leave a group."""

    def words(result: dict[str, Any]) -> str:
        return f"You have left {clean_line(result['name'])}. What was written stays here; `p2pchat clear` deletes it."

    return answers.say(context, words, "leave_group", chat=args.chat)


def change(context: Context, args: Namespace) -> int:
    """Change a setting of a group."""
    value = _value(args.key, args.value)
    return answers.say(context, "Changed for all members.", "set_group", chat=args.chat, key=args.key, value=value)


def _value(key: str, text: str) -> str:
    """Return a value as the API takes it. Raises UsageError."""
    if key == "slow_mode":
        return str(timed(text))
    if key == "newcomers":
        return str(math.ceil(timed(text) / HOUR_SECONDS))
    if key == "locked":
        if text.casefold() not in _TRUTH:
            raise errors.UsageError(f"locked is yes or no, not {text}")
        return _TRUTH[text.casefold()]
    allowed = {"history": ("0", "50", "500"), "invites": ("admins", "members")}.get(key)
    if allowed and text not in allowed:
        raise errors.UsageError(f"{key} is one of {', '.join(allowed)}, not {text}")
    return text


def invite(context: Context, args: Namespace) -> int:
    """Make an invite to a group; its text is the only output on stdout."""
    asked = {"expires": int(max(1, args.expires)), "uses": args.uses, "ask": args.ask, "role": args.role}
    with context.client() as client:
        result = client.call("group_invite", chat=args.chat, **asked)
    if context.out.json:
        context.out.object(result)
        return 0
    context.out.line(result["text"])
    many = (
        "everybody who gets it"
        if args.uses is None
        else "one person"
        if args.uses == 1
        else counted(args.uses, "person", "people")
    )
    then = " Whoever uses it waits in `p2pchat group requests` until an admin accepts them." if args.ask else ""
    context.out.note(f"For {many}, until {short_date(result['expires'])}.{then} Every member sees every other member.")
    return 0


def requests(context: Context, args: Namespace) -> int:
    """List those who ask to join a group."""
    found = answers.show(context, _request_row, "Nobody asks to join.", "group_requests", chat=args.chat)
    if found and not context.out.json:
        context.out.note(
            "`p2pchat group accept CHAT ID` makes somebody a member, `p2pchat group decline CHAT ID` does not."
        )
    return 0


def _request_row(request: dict[str, Any]) -> list[Cell]:
    return [
        cell(request["id"], "dim"),
        cell(short_date(request["at"]) or "-", "dim"),
        cell(request["via"] or "-", "dim"),
        cell(request["name"], "bold"),
        cell(request["words"]),
    ]


def accept(context: Context, args: Namespace) -> int:
    """Let somebody join who asked to."""
    return _answer(context, args, accept=True)


def decline(context: Context, args: Namespace) -> int:
    """Decline a request to join."""
    return _answer(context, args, accept=False)


def _answer(context: Context, args: Namespace, *, accept: bool) -> int:
    def words(result: dict[str, Any]) -> str:
        name = clean_line(result["name"])
        return f"{name} is a member now." if accept else f"{name} was declined, and is not told."

    return answers.say(context, words, "answer_request", chat=args.chat, id=args.id, accept=accept)


def log(context: Context, args: Namespace) -> int:
    """Show what was done in a group, and by whom."""

    def row(event: dict[str, Any]) -> list[Cell]:
        return [cell(short_date(event.get("at")) or "-", "dim"), cell(localized(event["text"]))]

    answers.show(context, row, "Nothing yet.", "group_log", chat=args.chat, limit=args.limit, before=args.before)
    return 0


_ACTIONS = (
    Verb(
        "group create",
        "found a group, and add contacts to it",
        create,
        (Arg("NAME", "what the group is called"), Arg("C", _CONTACTS, required=False, each=True)),
        notes="It prints the id of the group's chat. Contacts are not asked: the group appears among their chats, and "
        "they can leave it. Every member sees every other member.",
        example="p2pchat group create friends bob carol",
    ),
    Verb(
        "group show",
        "show a group: its rules, your role, how old its keys are",
        show,
        (_GROUP,),
        example="p2pchat group show friends",
    ),
    Verb(
        "group members",
        "list the members of a group, the highest roles first",
        members,
        (_GROUP,),
        (
            opt("--search", metavar="WORDS", default="", help="only those in whose name this appears"),
            opt("--limit", type=count, metavar="N", help="the most members to list (all)"),
        ),
        "The columns: the id, the role and until when they are muted, whether you verified them, what you call them if "
        "they are your contact, and the name that they chose for this group. Where two names look alike, digits of the "
        "id are added.",
        "p2pchat group members friends --search bob",
    ),
    Verb(
        "group add",
        "add contacts to a group",
        add,
        (_GROUP, Arg("C", _CONTACTS, each=True)),
        notes="They are not asked: the group appears among their chats, and they can leave it.",
        example="p2pchat group add friends dave",
    ),
    Verb(
        "group invite",
        "make an invite to a group, for people who are not your contacts",
        invite,
        (_GROUP,),
        (
            opt(
                "--expires",
                type=duration,
                default=604_800.0,
                metavar="TIME",
                help="how long it can be used, such as 12h (7d)",
            ),
            opt("--uses", type=count, metavar="N", help="how many people can use it (no limit)"),
            opt("--ask", action="store_true", help="those who use it wait until an admin accepts them"),
            opt("--role", choices=ROLES[1:], default="member", help="the role of those who join by it (member)"),
        ),
        "`p2pchat add` takes it.",
        "p2pchat group invite friends --expires 2d --uses 10",
    ),
    Verb(
        "group requests",
        "list those who ask to join a group",
        requests,
        (_GROUP,),
        example="p2pchat group requests friends",
    ),
    Verb(
        "group accept",
        "let somebody join who asked to",
        accept,
        (_GROUP, _REQUEST),
        example="p2pchat group accept friends 1a2b",
    ),
    Verb(
        "group decline",
        "decline a request to join",
        decline,
        (_GROUP, _REQUEST),
        notes="They are not told.",
        example="p2pchat group decline friends 1a2b",
    ),
    Verb(
        "group remove",
        "remove members whose role is below yours",
        remove,
        (_GROUP, _MEMBERS),
        (_REASON,),
        "They are removed for everyone who has seen it, and whoever has writes nothing more that they can read. They "
        "keep what they have. `p2pchat group log CHAT` shows how many have seen it. Several are removed in one change, "
        "or none of them.",
        "p2pchat group remove friends dave --reason spam",
    ),
    Verb(
        "group ban",
        "remove members who are not to come back",
        ban,
        (_GROUP, _MEMBERS),
        (_REASON,),
        "All members see that it was a ban. A person with a new profile is somebody new to a group.",
        "p2pchat group ban friends dave --reason spam",
    ),
    Verb(
        "group role",
        "give a member another role",
        role,
        (_GROUP, _MEMBER, Arg("ROLE", "owner, admin, moderator, member or observer", choices=ROLES)),
        notes="Your own role has to be above both the old and the new one. The owner can make somebody else the owner, "
        "and is an admin from then on.",
        example="p2pchat group role friends bob moderator",
    ),
    Verb(
        "group mute",
        "mute a member whose role is below yours, for a time",
        mute,
        (_GROUP, _MEMBER, Arg("DURATION", "such as 30m, 8h or 7d; off ends it")),
        notes="Meanwhile they can read and react. Their own node refuses to send what they write, and nobody "
        "else's shows it. All members see who muted them, and until when. It is for moderators and above.",
        example="p2pchat group mute friends dave 8h",
    ),
    Verb(
        "group hide",
        "hide a message of a member whose role is below yours, for all",
        hide,
        (_MESSAGE, Arg("REASON", "why; all members see it", required=False, many=True)),
        notes="Its text is gone everywhere, as if its author had deleted it, and in its place stands who hid it, and "
        "why. It cannot be shown again. It is for moderators and above.",
        example="p2pchat group hide 0198f2a1 spam",
    ),
    Verb(
        "group report",
        "report a message to those who moderate its group",
        report,
        (_MESSAGE, Arg("REASON", "why; only they see it", required=False, many=True)),
        notes="The owner, admins and moderators, without the author of the message, read in the chat that you report "
        "it, and why; nobody else does. They decide what to do.",
        example="p2pchat group report 0198f2a1 insults",
    ),
    Verb(
        "group reports",
        "list the reports of messages that are still shown",
        reports,
        (_GROUP,),
        notes="The columns: the id of the message, when it was reported, and who reports it and why. Those who "
        "moderate the group get reports. One ends when its message is hidden or deleted.",
        example="p2pchat group reports friends",
    ),
    Verb(
        "group set",
        "change the name, the topic or a rule of a group, for all members",
        change,
        (_GROUP, Arg("KEY", ", ".join(SETTINGS), choices=SETTINGS), Arg("VALUE", "the new value", many=True)),
        notes="slow_mode is the least time between two messages of one member, such as 30s, or off. With locked yes, "
        "only moderators and above write. invites is who adds people: admins, or members too. newcomers is a time "
        "such as 24h in which somebody new sends neither links nor files, or off. history is how many earlier "
        "messages somebody new gets: 0, 50 or 500. recovery is who can replace a lost owner, more than half of the "
        "admins that the owner names: '2 of bob, carol, dan', or off.",
        example="p2pchat group set friends slow_mode 30s",
    ),
    Verb(
        "group recover",
        "ask that a member becomes the owner, in place of one who is lost",
        recover,
        (_GROUP, _MEMBER),
        notes="For the admins whom the owner named with `p2pchat group set CHAT recovery`. Once as many have asked as "
        "it takes, it happens 14 days later, while one of their nodes runs. If the owner does anything, it is void.",
        example="p2pchat group recover friends carol",
    ),
    Verb(
        "group keep",
        "say, as the owner, that you are not lost",
        keep,
        (_GROUP,),
        notes="What admins have asked with `p2pchat group recover` is void then.",
        example="p2pchat group keep friends",
    ),
    Verb(
        "group receipts",
        "let the authors of a group's messages count that you have read them",
        receipts,
        (_GROUP, Arg("WANTED", "yes or no", choices=("yes", "no"))),
        notes="It is off at first. Only authors who are your contacts are told, in the session of the two, and see a "
        "number: `seen by 7` in `p2pchat log`. What you read before it was on is told to nobody.",
        example="p2pchat group receipts friends yes",
    ),
    Verb(
        "group successor",
        "found a group that takes the place of this one",
        successor,
        (_GROUP, Arg("NAME", "what the new group is called")),
        notes="It has the same settings and you as its owner; members who are your contacts are added with the roles "
        "that they have here. Members of this group read that there is another one. It prints the id of the new chat.",
        example="p2pchat group successor friends 'friends again'",
    ),
    Verb(
        "group leave",
        "leave a group",
        leave,
        (_GROUP,),
        notes="What was written stays in the chat, which can only be read from then on. The owner makes somebody else "
        "the owner first.",
        example="p2pchat group leave friends",
    ),
    Verb(
        "group log",
        "show what was done in a group, and by whom",
        log,
        (_GROUP,),
        (
            opt("--limit", type=count, default=50, metavar="N", help="the most events to show (50)"),
            opt("--before", metavar="ID", help="only what was done before this event (its id, in --json)"),
        ),
        example="p2pchat group log friends",
    ),
)

VERBS = (with_actions("group", "found a group, and everything about its members and rules", _ACTIONS),)
