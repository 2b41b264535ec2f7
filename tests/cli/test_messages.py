"""The verb tail, and what was saved by a verb that failed: nothing is missed, repeated or printed twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from p2pchat import errors
from p2pchat.locations import Profile
from tests.cli.conftest import Run
from tests.cli.node import FILE, ID, MESSAGE, FakeNode

M = "aa" * 16


def _numbered(number: int, **fields: object) -> dict[str, object]:
    sender = fields.pop("sender", MESSAGE["from"])
    return {**MESSAGE, "id": f"{number:032x}", "text": str(number), "from": sender, "mine": sender == "me", **fields}


class _Saved:
    """What a fake node has saved, each with its position: the answers of `messages`. `looked` at the first of them."""

    def __init__(self, node: FakeNode) -> None:
        self.rows: list[dict[str, object]] = []
        self.looked = threading.Event()
        self._node = node
        self._position = 0
        node.answers["messages"] = self._answer

    def save(self, *numbers: int, **fields: object) -> None:
        """Save messages of these numbers, without telling anybody."""
        for number in numbers:
            self._position += 1
            self.rows.append({**_numbered(number, **fields), "position": self._position})

    def tell(self, *numbers: int, **fields: object) -> None:
        """Save, and tell of each."""
        self.save(*numbers, **fields)
        self._node.publish(*({"event": "message", **_numbered(number, **fields)} for number in numbers))

    def _answer(self, chat: str | None, since: str | None, position: int | None, limit: int | None) -> object:
        rows = [row for row in self.rows if chat in (None, row["chat"])]
        self.looked.set()
        if since is not None:
            start = next((number for number, row in enumerate(rows) if row["id"] == since), None)
            if start is None:
                raise errors.NoSuchMessage
            return rows[start + 1 :][:2]
        if position is not None:
            return [row for row in rows if int(str(row["position"])) > position][:2]
        return rows[-(limit or 0) :]


@contextmanager
def _meanwhile(node: FakeNode, saved: _Saved, happen: Callable[[], None]) -> Iterator[None]:
    """What happens once a `tail` listens and has looked for the first time."""

    def wait() -> None:
        assert node.subscribed.wait(30)
        assert saved.looked.wait(30)
        happen()

    helper = threading.Thread(target=wait)
    helper.start()
    yield
    helper.join()


def test_tail_prints_what_comes_once_and_ends_at_count(node: FakeNode, p2pchat: Run) -> None:
    saved = _Saved(node)

    def happen() -> None:
        saved.tell(1, 2)
        node.publish(*({"event": "message", **_numbered(n)} for n in (2, 1)))
        saved.tell(3, chat="ffffffffffffffff")
        node.publish({"event": "state", "id": "x", "state": "read", "route": None})
        saved.tell(4)

    with _meanwhile(node, saved, happen):
        result = p2pchat("tail", "bob", "--count", "3", "--json")
    assert [each["text"] for each in result.objects()] == ["1", "2", "4"]
    assert set(result.objects()[0]) == set(MESSAGE)


def test_tail_shows_a_message_whose_id_was_seen_before(node: FakeNode, p2pchat: Run) -> None:
    saved = _Saved(node)

    def happen() -> None:
        saved.tell(1, 2)
        saved.tell(1, text="the same id again", sender="eve")
        saved.tell(3)

    with _meanwhile(node, saved, happen):
        result = p2pchat("tail", "--count", "4", "--json")
    assert [each["text"] for each in result.objects()] == ["1", "2", "the same id again", "3"]


def test_tail_leaves_out_what_was_written_before(node: FakeNode, p2pchat: Run) -> None:
    saved = _Saved(node)

    def happen() -> None:
        saved.save(1, route="history")  # somebody scrolls up in a channel: nobody is told
        saved.tell(2)
        saved.tell(3, route="history")  # as when one joins a group
        saved.tell(4)

    with _meanwhile(node, saved, happen):
        result = p2pchat("tail", "--count", "2", "--json")
    assert [each["text"] for each in result.objects()] == ["2", "4"]


def test_tail_with_events_prints_the_others_too(node: FakeNode, p2pchat: Run) -> None:
    saved = _Saved(node)

    def happen() -> None:
        state = {"event": "state", "id": "x", "state": "read", "route": "direct", "at": "2026-01-02T03:04:05.000Z"}
        node.publish(state)
        saved.tell(1)

    with _meanwhile(node, saved, happen):
        result = p2pchat("tail", "--events", "--count", "1", "--json")
    state, message = result.objects()
    assert (state["event"], state["id"], state["state"]) == ("state", "x", "read")
    assert message["text"] == "1"


def test_tail_says_what_was_changed_on_one_line(node: FakeNode, p2pchat: Run) -> None:
    saved = _Saved(node)

    def happen() -> None:
        for what in ("edit", "reaction", "pin", "deleted"):
            node.publish({"event": "changed", **MESSAGE, "text": "two\nlines", "what": what, "notify": False})
        for state in ("moving", "here"):
            node.publish({"event": "file", "id": M, "chat": ID, "file": {**FILE["file"], "state": state}})  # type: ignore[dict-item]
        saved.tell(1)

    with _meanwhile(node, saved, happen):
        result = p2pchat("tail", "--events", "--count", "1")
    words = ("edited", "reaction", "pin", "deleted for both", "25 %, 100 kB/s, 9 s left", "here")
    assert result.err.splitlines() == [f"{word}  {M}" for word in words]


def test_tail_goes_on_with_the_next_node(
    node: FakeNode, profile: Profile, p2pchat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2pchat.cli.messages._FIRST_WAIT", 0.01)
    saved, after = _Saved(node), FakeNode(profile)
    after.answers = node.answers

    def happen() -> None:
        saved.tell(1)
        saved.save(2)  # of which the node that ends tells nobody
        node.end()
        saved.save(3)
        after.__enter__()
        assert after.subscribed.wait(30)
        saved._node = after
        saved.tell(4)

    with _meanwhile(node, saved, happen):
        result = p2pchat("tail", "--count", "4", "--json")
    after.__exit__()
    assert [each["text"] for each in result.objects()] == ["1", "2", "3", "4"]
    assert "is back" in result.err


def test_tail_of_the_others_only(node: FakeNode, p2pchat: Run) -> None:
    saved = _Saved(node)
    saved.save(0, 1)
    saved.save(2, sender="me")
    saved.save(3)
    result = p2pchat("tail", "--theirs", "--after", f"{0:032x}", "--count", "2", "--json")
    assert [each["text"] for each in result.objects()] == ["1", "3"]


def test_tail_since_reads_the_store_first(node: FakeNode, p2pchat: Run) -> None:
    saved = _Saved(node)
    saved.save(1, 2, 3, 4, 5)
    result = p2pchat("tail", "bob", "--since", f"{1:032x}", "--count", "4", "--json")
    assert [each["text"] for each in result.objects()] == ["2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("before", "deleted", "expected"),
    [(0, 0, ["1", "2", "3"]), (3, 1, ["4", "5", "6"]), (3, 3, ["4", "5", "6"])],
    ids=["empty", "newest deleted", "all deleted"],
)
def test_tail_misses_nothing_after_it_lagged(
    node: FakeNode, p2pchat: Run, before: int, deleted: int, expected: list[str]
) -> None:
    saved = _Saved(node)
    saved.save(*range(1, before + 1))

    def happen() -> None:
        del saved.rows[before - deleted :]
        saved.save(*range(before + 1, before + 4))
        node.publish({"event": "lagged"}, {"event": "message", **_numbered(before + 3)})

    with _meanwhile(node, saved, happen):
        result = p2pchat("tail", "--count", "3", "--json")
    assert [each["text"] for each in result.objects()] == expected


def test_what_was_saved_is_told_with_the_error(node: FakeNode, p2pchat: Run) -> None:
    sent = {"id": M, "state": "saved", "route": None, "stored_at": None}
    asked = {"id": ID, "name": "bob", "state": "waiting"}
    node.answers["send"] = errors.NotReached(result=sent)
    node.answers["add"] = errors.NotReached(result=asked)
    for words, shown in ((["send", "bob", "hi", "--wait", "read"], sent), (["add", "P2PCHAT:X"], asked)):
        result = p2pchat(*words, "--json")
        assert (result.code, result.objects(), result.err.count("\n")) == (3, [shown], 1)
    assert p2pchat("send", "bob", "hi").out == M + "\n"
    assert p2pchat("add", "P2PCHAT:X").out == ""


def test_tail_of_a_chat_that_the_node_does_not_know(node: FakeNode, p2pchat: Run) -> None:
    node.answers["timer"] = errors.AmbiguousName(candidates=["Bob (abab)", "Bob (acac)"])
    result = p2pchat("tail", "bob")
    assert (result.code, node.calls) == (2, [("timer", {"chat": "bob", "seconds": None})])
    assert "Bob (abab), Bob (acac)" in result.err
