"""The verbs of `/group`: one table for the completion, the palette and the help. A verb whose method the node does not
have is not offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from p2pchat.tui.groups import ROLES, SETTINGS, offers

NOTHING, CONTACT, NAME = "nothing", "contact", "name"


class GroupVerb(NamedTuple):
    """One verb. `usage`: its arguments as shown. `needs`: the method of the node. `takes`: what is completed.
    `inside`: it is about the group that is shown.
    """

    name: str
    says: str
    needs: str
    usage: str = ""
    takes: str = NOTHING
    inside: bool = True


VERBS = (
    GroupVerb("create", "found a group, and choose who is in it", "create_group", "[NAME]", NAME, inside=False),
    GroupVerb("show", "show this group: its rules, and your role", "group"),
    GroupVerb("members", "list its members, or find one", "group_members", "[WORDS]", NAME),
    GroupVerb("add", "add contacts to it", "add_members", "[NAME]", CONTACT),
    GroupVerb("invite", "make an invite to it, for people who are not your contacts", "group_invite"),
    GroupVerb("requests", "show who asks to join it", "group_requests"),
    GroupVerb("remove", "remove a member", "remove_member", "MEMBER", NAME),
    GroupVerb("ban", "remove a member whom open invites are not to let in again", "remove_member", "MEMBER", NAME),
    GroupVerb("role", f"make a member {', '.join(ROLES[1:-1])} or {ROLES[-1]}", "set_role", "MEMBER ROLE", NAME),
    GroupVerb("mute", "mute a member for a time: 8h, 7d; off unmutes them", "mute_member", "MEMBER TIME", NAME),
    GroupVerb("hide", "hide the selected message for all, and say why", "hide_message", "[REASON]", NAME),
    GroupVerb("report", "report the selected message to the moderators", "report_message", "[REASON]", NAME),
    GroupVerb("reports", "go to the next message that somebody reports", "group_reports"),
    GroupVerb("set", "change its name or a rule", "set_group", "[SETTING VALUE]", NAME),
    GroupVerb("recover", "ask that a member becomes the owner in place of a lost one", "recover_group", "MEMBER", NAME),
    GroupVerb("keep", "say that you, the owner, are not lost", "keep_group"),
    GroupVerb("successor", "found a group that takes the place of this one", "succeed_group", "[NAME]", NAME),
    GroupVerb("receipts", "let authors count that you have read what they wrote", "group_receipts", "yes|no", NAME),
    GroupVerb("log", "show what was done in it, and by whom", "group_log"),
    GroupVerb("leave", "leave it", "leave_group"),
)

BY_NAME = {verb.name: verb for verb in VERBS}


def offered() -> list[GroupVerb]:
    """Return the verbs that the node can do."""
    return [verb for verb in VERBS if offers(verb.needs)]


def ways(rest: str, contacts: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return how `/group` may go on: (what stands behind it, what is shown, what it does)."""
    name, space, more = rest.lstrip().partition(" ")
    verbs = offered()
    if not space:
        return [
            (f"{verb.name} " if verb.usage else verb.name, f"{verb.name} {verb.usage}".rstrip(), verb.says)
            for verb in verbs
            if verb.name.startswith(name.casefold())
        ]
    verb = BY_NAME.get(name.casefold())
    if verb is None or verb not in verbs:
        return []
    begun = more.lstrip().casefold()
    offered_words: list[str] = []
    if verb.takes == CONTACT:
        offered_words = [*contacts]
    elif verb.name == "set":
        offered_words = _settings(more)
    elif verb.name == "receipts":
        offered_words = ["yes", "no"]
    elif verb.name == "role" and " " in more.strip():
        before = more.rpartition(" ")[0].strip()
        offered_words = [f"{before} {role}" for role in ROLES[1:]]
    found = [(f"{verb.name} {word}", word.strip(), "") for word in offered_words if word.casefold().startswith(begun)]
    return found or [(f"{verb.name} {more}", f"{verb.name} {verb.usage}".rstrip(), verb.says)]


def _settings(more: str) -> list[str]:
    name, space, _ = more.lstrip().partition(" ")
    setting = next((each for each in SETTINGS if each.name == name.casefold()), None)
    if not space or setting is None:
        return [f"{each.name} " for each in SETTINGS]
    return [f"{setting.name} {choice}" for choice in setting.choices]
