"""Methods about channels. What is written in one goes by `send`, and is read by `log`."""

from __future__ import annotations

from p2pchat.core.channels.posts import channel_id
from p2pchat.engine.channels import channels
from p2pchat.engine.engine import Engine
from p2pchat.engine.methods import channel_settings
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json
from p2pchat.errors import NotNow, UsageError
from p2pchat.store.channels import ChannelRow
from p2pchat.store.database import Database


async def create(engine: Engine, *, name: str, private: bool = False) -> Json:
    """Found a channel, which our relays mirror."""

    def act(tx: Transaction) -> Json:
        chat = channels.create(tx, name, private=private)
        row, partner = channels.found(tx.db, chat.hex())
        return _shown(tx.db, row, partner.name, "")

    created: Json = await engine.committer.submit(act)
    return created


async def show(engine: Engine, *, chat: str) -> Json:
    """Return what is known of a channel."""

    def query(db: Database) -> Json:
        row, partner = channels.found(db, chat)
        return _shown(db, row, partner.name, engine.channels.problem(row.chat))

    return await engine.committer.read(query)


def _shown(db: Database, row: ChannelRow, name: str, problem: str) -> Json:
    return {**channels.shown(db, row, name, problem), "comments": channel_settings.shown(db, row)}


async def invite(engine: Engine, *, chat: str) -> Json:
    """Return the link that leads to a channel."""

    def query(db: Database) -> Json:
        row, partner = channels.found(db, chat)
        return {"text": channels.link_of(db, row), "name": partner.name, "private": row.secret is not None}

    return await engine.committer.read(query)


async def writers(engine: Engine, *, chat: str, add: str | None = None, remove: str | None = None) -> Json:
    """Return who else writes in a channel, after letting somebody write in it, or nothing more."""

    def act(tx: Transaction) -> Json:
        row, partner = channels.found(tx.db, chat)
        if (add is not None or remove is not None) and not row.is_ours:
            raise NotNow(f"{partner.name} is not yours")
        if add is not None and remove is not None:
            raise UsageError("Give one of `add` and `remove`")
        link = None if add is None else channels.add_writer(tx, row, add)
        if remove is not None:
            channels.remove_writer(tx, row, remove)
        return {"writers": channels.writers_shown(tx.db, row), "link": link}

    result: Json = await engine.committer.submit(act)
    return result


async def report(engine: Engine, *, chat: str) -> Json:
    """Return what a relay's operator needs to refuse a channel: its id, its link, and the relays that mirror it."""

    def query(db: Database) -> Json:
        row, partner = channels.found(db, chat)
        relays = [engine.net.mailboxes.address_of(relay) for relay in channels.relays_of(row)]
        return {
            "id": channel_id(row.key).hex(),
            "name": partner.name,
            "link": channels.link_of(db, row),
            "relays": relays,
        }

    return await engine.committer.read(query)
