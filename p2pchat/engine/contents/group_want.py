"""Takes the content group want: a contact lacks messages of a group.

Groups are a floor above this one, and take it at the end of the transaction (`engine.groups.settle`).
"""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import GroupWant
from p2pchat.core.delivery import Route
from p2pchat.engine.runtime.effects import GroupArrival
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact


def apply(tx: Transaction, contact: Contact, content: Content, payload: GroupWant, route: Route) -> None:
    """Leave it to the end of the transaction."""
    tx.group_arrivals.append(GroupArrival(contact.id, payload, route))
