"""Numbers and articles in sentences."""

from __future__ import annotations

from p2pchat.lib.english import counted, with_article


def test_one_thing_is_not_many() -> None:
    assert [counted(number, "post") for number in (0, 1, 2, 2400)] == ["0 posts", "1 post", "2 posts", "2,400 posts"]
    assert counted(1, "person", "people") == "1 person"
    assert counted(3, "person", "people") == "3 people"


def test_articles() -> None:
    roles = ("owner", "admin", "moderator", "member", "observer")
    assert [with_article(role) for role in roles] == [
        "the owner",
        "an admin",
        "a moderator",
        "a member",
        "an observer",
    ]
