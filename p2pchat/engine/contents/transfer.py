"""Applies the content transfer: what the other side says about a file, as it goes on or ends."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import Transfer
from p2pchat.core.contents.transfer import TransferNews
from p2pchat.core.delivery import Route
from p2pchat.engine.contents import about
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import files as store_files
from p2pchat.store.contacts import Contact
from p2pchat.store.messages import ME

_ABOUT_OURS = frozenset({TransferNews.WHOLE, TransferNews.DECLINED, TransferNews.WANTED})


def apply(tx: Transaction, contact: Contact, content: Content, payload: Transfer, route: Route) -> None:
    """Save the news of a file if it is the newest: about ours from its recipient, about theirs from its sender. What
    follows from it is decided after this.
    """
    if payload.news in _ABOUT_OURS and contact.group is None:  # in a group, nobody says which file they have
        author = ME
    elif payload.news == TransferNews.WITHDRAWN:
        author = contact.id
    else:
        return
    row = about.find(tx, contact, content, payload.message, author, latest_only=True)
    if row is not None and store_files.note_news(tx.db, row.pk, payload.news, content.message_id):
        tx.files_changed[row.pk] = None
