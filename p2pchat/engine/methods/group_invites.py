"""Methods about joining groups by invites: making one, and deciding about those who use it."""

from __future__ import annotations

from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import ContactId
from p2pchat.engine.engine import Engine
from p2pchat.engine.groups import joining, links
from p2pchat.engine.groups.links import JoinRequest
from p2pchat.engine.methods.groups import group_of
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json
from p2pchat.errors import AmbiguousName, NoSuchContact
from p2pchat.store.invites import InviteRow


async def group_invite(
    engine: Engine,
    *,
    chat: str,
    expires: int = 604_800,
    uses: int | None = None,
    ask: bool = False,
    role: str = "member",
) -> Json:
    """Make an invite to a group, valid for `expires` seconds and for so many newcomers. Raises NotNow or UsageError."""

    def act(tx: Transaction) -> InviteRow:
        row = group_of(tx.db, chat)
        return links.make(tx, row, expires_s=expires, uses=uses, ask=ask, role=Role[role.upper()])

    made = await engine.committer.submit(act)
    assert made.encoded is not None
    return {
        "id": made.id.hex(),
        "text": views.invite_text(made.encoded),
        "expires": views.timestamp(made.expires_at),
    }


async def group_requests(engine: Engine, *, chat: str) -> list[Json]:
    """Return those who ask to join a group, the first one first."""

    def act(tx: Transaction) -> list[JoinRequest]:
        return links.requests(tx, group_of(tx.db, chat))

    return [
        {
            "id": asking.contact.hex(),
            "name": asking.name,
            "words": asking.words,
            "at": views.timestamp(asking.at),
            "via": asking.via,
        }
        for asking in await engine.committer.submit(act)
    ]


async def answer_request(engine: Engine, *, chat: str, id: str, accept: bool = True) -> Json:
    """Let somebody join who asked to, or decline them; they are not told. Raises NoSuchContact or AmbiguousName."""

    def act(tx: Transaction) -> Json:
        row = group_of(tx.db, chat)
        meant = _meant(links.requests(tx, row), id)
        links.answer(tx, row, ContactId(meant.contact), accept=accept)
        return {"id": meant.contact.hex(), "name": meant.name}

    answered: Json = await engine.committer.submit(act)
    return answered


async def awaited_groups(engine: Engine) -> list[Json]:
    """Return the groups that the user has asked to join by an invite and is not in yet, the first one first."""
    found = await engine.committer.read(joining.awaited)
    return [{"name": group.name, "at": views.timestamp(group.at)} for group in found]


def _meant(asking: list[JoinRequest], written: str) -> JoinRequest:
    wanted = written.strip().lower()
    found = [one for one in asking if wanted and one.contact.hex().startswith(wanted)]
    found = found or [one for one in asking if one.name.casefold() == wanted.casefold()]
    if not found:
        hint = "`p2pchat group requests CHAT` lists who does."
        raise NoSuchContact("Nobody with that id or name asks to join this group", hint=hint)
    if len(found) > 1:
        raise AmbiguousName(candidates=[f"{one.name} ({one.contact.hex()})" for one in found])
    return found[0]
