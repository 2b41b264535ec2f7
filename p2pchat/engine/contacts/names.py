"""What contacts are called here. No name may come to mean another contact than before.

A name belongs to the contact that the user gave it to, or that had it first. Another contact of that name, or one whose
name looks like the beginning of an id, is shown with the first digits of their own id: `Bob (1a2b)`.
"""

from __future__ import annotations

import re
import unicodedata

from p2pchat.core.ids import ContactId
from p2pchat.core.text import MAX_NAME, clean_name
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import BadName
from p2pchat.lib import lookalikes
from p2pchat.store import contacts as store_contacts
from p2pchat.store.contacts import ContactState
from p2pchat.store.database import Database
from p2pchat.store.partners import NOTES_NAMES

_JOINERS = {0x200C: None, 0x200D: None}
_ID = re.compile("[0-9a-f]{16}")
_SHORTEST_PREFIX = 4


def name_of(written: str) -> str:
    """Return a name that a person chose, as it may be kept. Raises BadName with what is wrong."""
    name = clean_name(written, None)
    if len(name) > MAX_NAME:
        raise BadName(f"A name has at most {MAX_NAME} characters; this one has {len(name)}")
    if not name:
        raise BadName
    if _is_me(name):
        raise BadName(f"A name cannot be {name}: that is what your own messages are shown under")
    if _ID.fullmatch(_compared(name)):
        raise BadName("A name cannot look like an id")
    return name


def their_name(cleaned: str) -> str:
    """Return what somebody calls themselves, as we may call them: faces and bots take "me" for ourselves."""
    return "nameless" if _is_me(cleaned) else cleaned


def given(tx: Transaction, contact_id: ContactId, name: str) -> str:
    """Return a name that a person gives a contact. Raises BadName where it means another one."""
    if _compared(name) in NOTES_NAMES:
        raise BadName("That is the name of the chat with yourself")
    if _is_ambiguous(tx, contact_id, name, asks=False):
        raise BadName(f"{name} is another contact's name", hint="Rename that one first.")
    return name


def free(tx: Transaction, contact_id: ContactId, name: str, *, asks: bool = False) -> str:
    """Return `name`, or a marked one where it means another contact. Somebody who only `asks` to become one keeps no
    name from a contact.
    """
    digits = _SHORTEST_PREFIX
    marked = name
    while _is_ambiguous(tx, contact_id, marked, asks=asks) and digits <= 2 * len(contact_id):
        mark = f" ({contact_id.hex()[:digits]})"
        marked = name[: MAX_NAME - len(mark)].rstrip() + mark
        digits += 2
    if not asks:
        _unname_requests(tx, contact_id, marked)
    return marked


def _is_ambiguous(tx: Transaction, contact_id: ContactId, name: str, *, asks: bool) -> bool:
    wanted = _compared(name)
    if _ID.fullmatch(wanted) or wanted in NOTES_NAMES:
        return True
    for other, called, state in store_contacts.names(tx.db):
        if other == contact_id:
            continue
        if _compared(called) == wanted and (asks or state != ContactState.REQUEST):
            return True
        if len(wanted) >= _SHORTEST_PREFIX and other.hex().startswith(wanted):
            return True
    return False


def _unname_requests(tx: Transaction, contact_id: ContactId, name: str) -> None:
    for other, called, state in store_contacts.names(tx.db):
        if other != contact_id and state == ContactState.REQUEST and _compared(called) == _compared(name):
            mark = f" ({other.hex()[:8]})"
            tx.change(other, name=called[: MAX_NAME - len(mark)].rstrip() + mark)


def _compared(name: str) -> str:
    """Return a form that is equal for names that look or sound the same to somebody who types them."""
    return unicodedata.normalize("NFKC", name.translate(_JOINERS)).casefold().strip()


def _is_me(name: str) -> bool:
    return _compared(name) == "me"


def labels(db: Database) -> dict[ContactId, str]:
    """Return how contacts are called in sentences: as the list of chats calls them, with digits of the id where two
    names look alike.
    """
    named = [(id, name) for id, name, state in store_contacts.names(db) if state != ContactState.REQUEST]
    shown = lookalikes.labels([(name, id.hex()) for id, name in named])
    return {id: label for (id, _), label in zip(named, shown, strict=True)}
