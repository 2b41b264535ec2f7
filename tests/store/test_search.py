"""Finding messages: what is a hit, in which order, and what it costs in a long history."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.core.delivery import DeliveryState
from p2pchat.core.ids import ChatId, ContactId, MessageId, direct_contact
from p2pchat.store import database, messages, search, search_backlog
from p2pchat.store.database import Database
from p2pchat.store.messages import ME, MessageRow
from p2pchat.store.search import MAX_CLOCK_ERROR_MS, Bounds
from p2pchat.store.search_index import document
from p2pchat.store.search_query import parse, plain
from tests.store.conftest import ALICE, ALICE_CHAT, BOB_CHAT
from tests.store.test_messages import said, save, seqs
from tests.support.databases import KEY, new_database
from tests.support.examples import examples

DAY = 86_400_000


def found(
    db: Database, text: str, chat: ChatId | None = None, sender: ContactId | None = None, **bounds: Any
) -> list[int]:
    query = parse(text, lambda day: int(day) * DAY)
    senders = None if sender is None else [sender]
    return seqs(search.search(db, query, chat, senders, bounds.pop("limit", 10), Bounds(**bounds)))


def test_every_word_has_to_be_there(db: Database) -> None:
    save(db, said(1, "the quick brown fox"), said(2, "the quick dog"), said(3, "foxes are quick"))
    assert found(db, "quick fox") == [1]
    assert found(db, "quick fox*") == [1, 3]
    assert found(db, "fox* QUICK") == [1, 3]
    assert found(db, '"quick brown"') == [1]
    assert found(db, '"brown quick"') == []
    assert found(db, '"quick br"*') == [1]
    assert found(db, "cat") == []


def test_of_one_chat_by_one_sender_with_a_link(db: Database) -> None:
    link = "word see HTTPS://example.org"
    save(
        db,
        said(1, "word"),
        said(2, link, sender=ME),
        said(3, "word", chat=BOB_CHAT),
        said(4, link, chat=BOB_CHAT, sender=ME),
    )
    assert found(db, "word") == [1, 2, 3, 4]
    assert found(db, "word", ALICE_CHAT) == [1, 2]
    assert found(db, "from:x", None, ALICE) == [1]
    assert found(db, "from:x", None, ME) == [2, 4]
    assert found(db, "from:x word", BOB_CHAT, ME) == [4]
    assert found(db, "has:link") == [2, 4]
    assert found(db, "has:link", BOB_CHAT) == [4]


@pytest.mark.parametrize("text", ["//", "a://", "see ://x", "http:/x"])
def test_what_is_no_link(db: Database, text: str) -> None:
    save(db, said(1, text))
    assert found(db, "has:link") == []


def test_nobody_can_write_themselves_into_another_chat(db: Database) -> None:
    """What the index says about a message cannot be said by its text, nor be asked for by a query."""
    forged = document("", BOB_CHAT, ME).split()
    save(db, said(1, " ".join(["word", *forged])))
    assert found(db, "word", BOB_CHAT) == found(db, "word", None, ME) == []
    for word in forged:
        assert found(db, f"{word} word", BOB_CHAT) == []


def test_pages_and_the_next_hit(db: Database) -> None:
    save(db, *(said(seq, "word") for seq in range(1, 8)))
    last = messages.page(db, ALICE_CHAT, 1)[0].pk
    assert found(db, "word", limit=3) == [5, 6, 7]
    assert found(db, "word", limit=3, before=last - 2) == [2, 3, 4]
    assert found(db, "word", limit=1, before=last) == [6]
    assert found(db, "word", limit=2, after=last - 4, forwards=True) == [4, 5]
    assert found(db, "word", after=last, forwards=True) == []


def came(seq: int, at: int, chat: ChatId = ALICE_CHAT) -> MessageRow:
    return MessageRow(
        MessageId(seq.to_bytes(16, "big")), chat, direct_contact(chat), 0, seq, "word", 1, DeliveryState.RECEIVED, at
    )


def test_dates_are_those_at_which_messages_came(db: Database) -> None:
    save(db, *(came(seq, seq * DAY) for seq in range(1, 10)))
    save(db, MessageRow(MessageId(b"m" * 16), ALICE_CHAT, ME, 0, 10, "word", 10 * DAY, DeliveryState.SAVED))
    assert found(db, "word after:8") == [8, 9, 10]
    assert found(db, "word before:3") == [1, 2]
    assert found(db, "word after:3 before:5", ALICE_CHAT) == [3, 4]
    assert found(db, "word after:11") == []


def test_a_clock_that_was_wrong_for_a_while_hides_nothing(db: Database) -> None:
    ahead = [came(seq, seq * DAY + MAX_CLOCK_ERROR_MS // 2 * (10 <= seq < 20)) for seq in range(1, 30)]
    save(db, *ahead)
    for start in range(1, 30):
        wanted = [row.seq for row in ahead if (row.received_at or 0) >= start * DAY]
        assert found(db, f"word after:{start}", limit=100) == wanted


@settings(max_examples=examples(30))
@given(st.lists(st.integers(0, 40), max_size=40).map(sorted), st.integers(-1, 42))
def test_where_a_time_begins_is_what_a_plain_look_says(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], at: int
) -> None:
    db = new_database(tmp_path_factory.mktemp("search") / "profile.db")
    save(db, *(came(seq, time, BOB_CHAT if seq % 3 else ALICE_CHAT) for seq, time in enumerate(times, 1)))
    for pk in random.Random(len(times)).sample(range(1, len(times) + 1), len(times) // 4):
        messages.delete(db, pk)
    rows = messages.newest(db, None, 100)
    boundary = search.pk_at(db, at)
    assert [row.pk for row in rows if row.pk >= boundary] == [row.pk for row in rows if (row.received_at or 0) >= at]
    first = search.first_since(db, ALICE_CHAT, at)
    wanted = next((row for row in rows if row.chat == ALICE_CHAT and (row.received_at or 0) >= at), None)
    assert first == wanted
    db.close()


def test_a_part_of_a_chat(db: Database) -> None:
    save(db, *(came(seq, seq * DAY) for seq in (1, 2, 3, 5, 6, 4, 7, 8)), came(1, 5 * DAY, BOB_CHAT))
    rows = {row.seq: row for row in messages.page(db, ALICE_CHAT, 100)}

    def part(limit: int = 10, **bounds: int) -> list[int]:
        return seqs(messages.page_between(db, ALICE_CHAT, limit, **{name: rows[seq] for name, seq in bounds.items()}))

    assert part(first=3, end=7) == [3, 4, 5, 6]
    assert part(2, first=3) == [3, 4]
    assert part(2, first=3, after=4) == [5, 6]
    assert part(2, end=7) == [5, 6]
    assert part(2, end=7, before=5) == [3, 4]
    assert part(first=5) == [4, 5, 6, 7, 8]  # 4 came late, and stands before 5
    assert part(2, before=3) == [1, 2]
    assert part(first=7, end=3) == []


def plans(db: Database, run: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps of every statement that a function asks."""
    asked: list[tuple[str, Any]] = []
    query = Database.query

    def noting(db: Database, sql: str, values: Any = ()) -> list[Any]:
        asked.append((sql, values))
        return query(db, sql, values)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "query", noting)
        patch.setattr(Database, "query_one", lambda db, *asked: next(iter(db.query(*asked)), None))
        run()
    return [step[3] for sql, values in asked for step in query(db, f"EXPLAIN QUERY PLAN {sql}", values)]


@pytest.mark.parametrize("text", ["word", '"a word" wor* from:x has:link', "word after:3 before:9"])
def test_a_search_is_one_walk_through_the_index(db: Database, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    save(db, *(came(seq, seq * DAY) for seq in range(1, 10)))
    steps = plans(db, lambda: found(db, text, ALICE_CHAT, ALICE), monkeypatch)
    assert any("VIRTUAL TABLE" in step for step in steps)
    assert not [step for step in steps if ("SCAN messages" in step and "VIRTUAL" not in step) or "TEMP B-TREE" in step]


def test_a_jump_and_a_part_of_a_chat_read_no_more_than_they_show(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    save(db, *(came(seq, seq * DAY) for seq in range(1, 10)))
    row = messages.page(db, ALICE_CHAT, 1)[0]
    runs = (
        lambda: search.first_since(db, ALICE_CHAT, 5 * DAY),
        lambda: messages.page_between(db, ALICE_CHAT, 3, first=row, after=row),
        lambda: messages.page_between(db, ALICE_CHAT, 3, end=row, before=row),
    )
    steps = [step for run in runs for step in plans(db, run, monkeypatch)]
    assert not [step for step in steps if "SCAN messages" in step or "TEMP B-TREE" in step]


def test_a_day_is_found_in_a_few_statements(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    save(db, *(came(seq, seq) for seq in range(1, 1001)))
    assert len(plans(db, lambda: search.pk_at(db, 700), monkeypatch)) <= 12
    assert search.pk_at(db, 700) == 700


# --- words of the user ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Зелёный ёж", "еж"),
        ("зеленый еж", "ЁЖ"),
        ("كتاب جديد", "کتاب"),
        ("من می\u200cخواهم", "میخواهم"),
        ("Crème brûlée", "creme brulee"),
        ("Straße", "STRASSE"),
        ("हिन्दी भाषा", "हिन्दी"),
        ("我在東京學日本語", "日本"),
        ("我在東京學日本語", "東京"),
        ("ภาษาไทย", "ไทย"),
        ("see https://example.org/a-b", "example.org"),
        ("don't", "don't"),
    ],
)
def test_spellings_do_not_matter(db: Database, text: str, words: str) -> None:
    save(db, said(1, text), said(2, "something else"))
    assert found(db, words) == [1]


def test_letters_of_unspaced_scripts_must_follow_one_another(db: Database) -> None:
    save(db, said(1, "日本語"), said(2, "本日"))
    assert found(db, "日本") == [1]


@pytest.mark.parametrize(
    "words",
    [
        *('"', '"" ""', "a OR", "NOT a", "a AND AND b", "text:hello", "NEAR(a b)", "hello*", "^hello", "(hello"),
        *(
            "{a b}: c",
            "-hello",
            "hel\0lo",
            "'; DROP TABLE messages; --",
            "\ud83d",
            "hello\ud83d",
            "\uefffs",
            "hello \uefff",
        ),
    ],
)
def test_syntax_of_the_index_is_inert(db: Database, words: str) -> None:
    save(db, said(1, "hello there"))
    query = plain(words)
    assert query is None or seqs(search.search(db, query, None, None, 10)) in ([], [1])
    assert found(db, "hello") == [1]


@settings(max_examples=examples(150))
@given(words=st.text())
def test_no_search_fails(shared: Database, words: str) -> None:
    query = plain(words)
    if query is not None:
        search.search(shared, query, None, None, 5)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Database:
    db = new_database(tmp_path_factory.mktemp("shared") / "profile.db")
    save(db, said(1, "hello there"))
    return db


# --- what changes -----------------------------------------------------------------------------------------


def test_a_message_that_moves_is_found_in_its_new_chat(db: Database) -> None:
    save(db, said(1, "word", sender=ME))
    messages.move(db, messages.page(db, ALICE_CHAT, 1)[0].pk, BOB_CHAT, 1)
    assert found(db, "word", ALICE_CHAT) == []
    assert found(db, "word", BOB_CHAT, ME) == [1]


def test_an_older_profile_is_indexed_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = database.migrations()
    with monkeypatch.context() as older:
        older.setattr(database, "migrations", lambda: scripts[:15])
        older.setattr(search_backlog, "document", lambda text, chat, sender: text)
        before = Database.create(path, KEY)
        save(before, said(1, "Ёлка"), said(2, "word https://example.org", sender=ME), said(3, "word", chat=BOB_CHAT))
        search_backlog.before_search(before)
        before.close()
    db = Database.open(path, KEY)
    assert found(db, "word", ALICE_CHAT) == found(db, "has:link", None, ME) == [2]
    assert found(db, "елка") == [1]
    messages.delete(db, messages.page(db, ALICE_CHAT, 1)[0].pk)
    assert found(db, "word") == [3]
    db.close()
