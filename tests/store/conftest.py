"""A real database for every test of the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pchat.core.ids import ContactId, direct_chat, first_device
from p2pchat.store.database import Database
from tests.support.databases import new_database

ALICE, BOB = ContactId(b"alice..1"), ContactId(b"bob....2")
ALICE_CHAT, BOB_CHAT = direct_chat(ALICE), direct_chat(BOB)
ALICE_DEVICE, BOB_DEVICE = first_device(ALICE), first_device(BOB)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "profile.db"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    database = new_database(path)
    yield database
    database.close()
