"""What messages of a group say, applied in the order in which they came. Plain texts, which nearly all of them are, are
saved and shown together: each by itself takes three times as long.
"""

from __future__ import annotations

from typing import NamedTuple

from p2pchat.core.content import Content
from p2pchat.core.delivery import Route
from p2pchat.core.groups.messages import GroupMessage
from p2pchat.core.ids import ChatId
from p2pchat.engine import contents
from p2pchat.engine.contents import visible
from p2pchat.engine.delivery import group_rules
from p2pchat.engine.groups import past
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact
from p2pchat.store.groups.groups import GroupRow


class _ArrivedText(NamedTuple):
    """A plain text that is not saved yet. row: its group. author: the stand-in for its author."""

    row: GroupRow
    author: Contact
    message: GroupMessage
    content: Content


class GatheredTexts:
    """The texts of one group that came in a transaction and are not saved yet. route: by which they came."""

    def __init__(self, tx: Transaction, chat: ChatId, route: Route) -> None:
        self._tx = tx
        self._chat = chat
        self._route = route
        self._texts: list[_ArrivedText] = []

    def apply(self, row: GroupRow, author: Contact, message: GroupMessage, content: Content) -> None:
        """Apply what a message says: now, with all texts that came before it, or later if it is a plain text. A text is
        not plain if those before it decide whether it is shown, or if something waits for it.
        """
        waited_for = contents.is_waited_for(self._tx, author)
        if visible.is_plain(content) and not waited_for and not group_rules.slow_mode(row):
            self._texts.append(_ArrivedText(row, author, message, content))
            return
        self.show_all()
        contents.apply(self._tx, author, content, self._route)
        past.keep(self._tx, row, message, content)

    def show_all(self) -> None:
        """Save and show the texts that came: to be called before something else reads the messages of the chat, or adds
        to them.
        """
        texts, self._texts = self._texts, []
        if not texts:
            return
        visible.insert_all(self._tx, self._chat, [(text.author, text.content) for text in texts], self._route)
        for text in texts:
            past.keep(self._tx, text.row, text.message, text.content)
