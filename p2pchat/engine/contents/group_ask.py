"""Takes the content group ask, which means nothing to this version yet."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import GroupAsk
from p2pchat.core.delivery import Route
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact


def apply(tx: Transaction, contact: Contact, content: Content, payload: GroupAsk, route: Route) -> None:
    """Accept it, and do nothing."""
