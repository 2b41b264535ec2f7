"""What a bot hands on, in which order and how often; what ends it and what does not."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from p2pchat import errors
from p2pchat.bot import Bot, FileMessage, Message, Request, SentFile, State, TooFast
from p2pchat.bot.bookmark import Bookmark, path_of
from p2pchat.bot.shutdown import Ended, Ending
from p2pchat.locations import Profile
from tests.bot.conftest import Meanwhile, Store
from tests.cli.node import FILE, GROUP, ID, FakeNode

ODD = "  exactly\n\tthis \x1b[2J \u202e\U0001f680 "


def gather(bot: Bot, until: str = "end") -> list[Message]:
    """What it hands on, up to a text."""
    got: list[Message] = []

    @bot.on_message
    def remember(message: Message) -> None:
        got.append(message)
        if message.text == until:
            bot.stop()

    return got


def said(got: list[Message]) -> list[str]:
    return [message.text for message in got]


def again(bot: Bot) -> Bot:
    """As after a restart of the program."""
    return Bot(bot.profile.folder)


# --- what is handed on ---------------------------------------------------------------------------------------------


def test_texts_come_exact_and_in_order_from_the_first_run_on(bot: Bot, node: FakeNode, store: Store) -> None:
    store.add("from before there was a bot")
    got = gather(bot)
    bot.on_start(lambda: [store.add(text) for text in ("one", ODD, "end")])
    bot.work()
    assert said(got) == ["one", ODD, "end"]
    assert (got[0].sender, got[0].chat, got[0].route) == ("bob", ID, "direct")
    assert got[0].received_at.year == 2999
    assert got[0].sent_at.tzinfo is not None


def test_what_came_meanwhile_is_handed_on_at_the_next_start_and_nothing_twice(
    bot: Bot, node: FakeNode, store: Store
) -> None:
    first, second = gather(bot), again(bot)
    bot.on_start(lambda: [store.add(text) for text in ("one", "end", "two")])
    bot.work()
    store.add("three")
    store.add("end")
    got = gather(second)
    second.work()
    assert (said(first), said(got)) == (["one", "end"], ["two", "three", "end"])


def test_own_messages_and_other_kinds_are_left_out(bot: Bot, node: FakeNode, store: Store) -> None:
    got = gather(bot)

    def begin() -> None:
        store.add("mine", **{"from": "me", "mine": True})
        store.add("", kind="unknown")
        store.add("end")

    bot.on_start(begin)
    bot.work()
    assert said(got) == ["end"]


def test_what_was_written_before_it_came_is_left_out(bot: Bot, node: FakeNode, store: Store) -> None:
    got = gather(bot)

    def begin() -> None:
        store.add("on an earlier page", route="history")
        store.add("end")

    bot.on_start(begin)
    bot.work()
    assert said(got) == ["end"]


def test_in_a_group_it_hears_what_mentions_it_or_everything_if_it_wants(
    profile: Profile, node: FakeNode, store: Store
) -> None:
    anna, other = {"id": "a1" * 8, "name": "anna"}, {"id": "b0" * 8, "name": "anna"}
    quiet, curious = Bot(profile.folder), Bot(profile.folder, name="curious", all_in_groups=True)

    def talk() -> None:
        store.add("lunch?", member=anna, mentions_me=False)
        store.add("@echo lunch?", member=other, mentions_me=True)
        store.add("end")

    heard, all_heard = gather(quiet), gather(curious)
    quiet.on_start(talk)
    quiet.work()
    curious.on_start(talk)
    curious.work()
    assert [(each.text, each.member, each.mentions_me) for each in heard] == [
        ("@echo lunch?", "b0" * 8, True),
        ("end", None, False),
    ]
    assert said(all_heard) == ["lunch?", "@echo lunch?", "end"]


def test_it_knows_the_groups_that_it_is_in(bot: Bot, node: FakeNode, store: Store) -> None:
    kinds = {"11" * 8: "direct", "22" * 8: "group", "33" * 8: "group"}
    node.answers["chats"] = [{"id": id, "name": "x", "kind": kind} for id, kind in kinds.items()]
    roles = {"22" * 8: "member", "33" * 8: None}  # it has left one
    node.answers["group"] = lambda chat: {**GROUP, "chat": chat, "role": roles[chat]}
    (group,) = bot.groups()
    assert (group.id, group.name, group.role, group.members) == ("22" * 8, "friends", "member", 3)
    group.send("good morning")
    assert store.sent == [("22" * 8, "good morning")]


def test_an_event_wakes_it_and_lagged_too(bot: Bot, node: FakeNode, store: Store, once_subscribed: Meanwhile) -> None:
    got = gather(bot)
    woken = threading.Event()
    bot.on_state(lambda state: woken.set())

    def meanwhile() -> None:
        one = store.add("one")
        node.publish(one, one)  # the store has it once
        store.add("two", **{"from": "me", "mine": True})
        node.publish({"event": "state", "id": "a", "chat": ID, "state": "stored", "route": None, "at": None})
        assert woken.wait(60)
        store.add("missed")
        store.add("end")
        node.publish({"event": "lagged"})

    once_subscribed(meanwhile)
    bot.work()
    assert said(got) == ["one", "missed", "end"]


def test_states_are_told(bot: Bot, node: FakeNode, once_subscribed: Meanwhile) -> None:
    got: list[State] = []

    @bot.on_state
    def state(change: State) -> None:
        got.append(change)
        bot.stop()

    once_subscribed(
        lambda: node.publish(
            {"event": "message", "from": "bob", "mine": False},  # not asked for, and not sent
            {"event": "state", "id": "aa", "chat": ID, "state": "delivered", "route": "direct", "at": None},
        )
    )
    bot.work()
    assert got == [State("aa", ID, "delivered", "direct")]
    assert [method for method, _ in node.calls] == ["messages"]


def test_a_request_is_handed_on_once_and_answered(bot: Bot, node: FakeNode, once_subscribed: Meanwhile) -> None:
    eve = {
        "id": "ee" * 8,
        "name": "eve",
        "since": "2026-01-02T03:04:05.000Z",
        "sas": "one two three four five six seven eight",
    }
    node.answers["requests"] = [eve]
    got: list[Request] = []

    @bot.on_request
    def welcome(request: Request) -> None:
        got.append(request)
        if request.name == "eve":
            request.accept()
        else:
            request.decline()
            bot.stop()

    def meanwhile() -> None:
        node.publish({"event": "request", **eve})
        node.answers["requests"] = [eve, {**eve, "id": "dd" * 8, "name": "dan"}]
        node.publish({"event": "request", **eve})

    once_subscribed(meanwhile)
    bot.work()
    assert [(request.name, request.sas) for request in got] == [("eve", eve["sas"]), ("dan", eve["sas"])]
    decided = [call for call in node.calls if call[0] in ("accept", "decline")]
    assert decided == [("accept", {"contact": eve["id"]}), ("decline", {"contact": "dd" * 8})]


# --- what it says --------------------------------------------------------------------------------------------------


def test_it_answers_in_the_chat_of_the_message(bot: Bot, node: FakeNode, store: Store) -> None:
    @bot.on_message
    def echo(message: Message) -> None:
        assert message.reply(message.text) == "bb" * 16
        bot.stop()

    bot.on_start(lambda: store.add(ODD))
    bot.work()
    assert store.sent == [(ID, ODD)]
    assert bot.send("carol", "hi") == "bb" * 16  # also without running
    assert bot.call("contacts")[0]["name"] == "bob"


def test_the_brake_ends_a_talk_of_two_bots(
    profile: Profile, node: FakeNode, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    bot = Bot(profile.folder, per_minute=5)
    answered, stop_at = itertools.count(1), 20

    @bot.on_message
    def echo(message: Message) -> None:
        if next(answered) == stop_at:
            bot.stop()
        store.add(f"their answer to {message.id}")
        message.reply(message.text)

    bot.on_start(lambda: store.add("hello"))
    bot.work()
    assert len(store.sent) == 5
    assert caplog.text.count("TooFast") == 1


def test_what_waited_while_it_was_away_is_answered_whole(profile: Profile, node: FakeNode, store: Store) -> None:
    bot = Bot(profile.folder, per_minute=2)

    @bot.on_message
    def echo(message: Message) -> None:
        message.reply(message.text)
        if message.text == "end":
            bot.stop()

    def waited() -> None:
        for text in ("1", "2", "3", "4", "end"):
            store.add(text, received_at="2026-01-01T00:00:00.000Z")

    bot.on_start(waited)
    bot.work()
    assert [text for _, text in store.sent] == ["1", "2", "3", "4", "end"]


# --- what goes wrong -----------------------------------------------------------------------------------------------


def test_a_failing_function_is_logged_without_any_text_and_ends_nothing(
    bot: Bot, node: FakeNode, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    got = gather(bot)
    remember = bot._on_message
    assert remember is not None

    @bot.on_message
    def clumsy(message: Message) -> None:
        remember(message)
        if message.text == "secret":
            raise ValueError(message.text)

    bot.on_start(lambda: [store.add("secret"), store.add("end")])
    with caplog.at_level(logging.DEBUG):
        bot.work()
    assert said(got) == ["secret", "end"]
    (failure,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert failure.getMessage().startswith("clumsy failed: ValueError at test_bot.py:")
    assert failure.exc_info is None
    assert "secret" not in caplog.text
    assert "secret" not in repr(got[0])


def test_where_the_node_ends_in_the_middle_the_message_comes_once_more(
    bot: Bot, node: FakeNode, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    got = gather(bot)
    remember = bot._on_message
    assert remember is not None

    @bot.on_message
    def echo(message: Message) -> None:
        remember(message)
        message.reply(message.text)

    def die(**_: object) -> object:
        raise errors.NodeGone

    node.answers["send"] = die
    bot.on_start(lambda: [store.add("one"), store.add("end")])
    bot.work()
    assert said(got) == ["one", "one", "end"]
    assert "looking for it" in caplog.text
    assert Bookmark(bot._bookmark).position == 10  # the last one was cut off too, and comes at the next start


class Unlocking(logging.Handler):
    """Somebody who unlocks the profile when the bot says that it waits for that."""

    def __init__(self, node: FakeNode) -> None:
        super().__init__()
        self.node = node

    def emit(self, record: logging.LogRecord) -> None:
        if "locked" in record.getMessage():
            self.node.greeting["state"] = "ready"


def test_it_waits_where_its_node_comes_back_locked(
    bot: Bot, node: FakeNode, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2pchat.bot.bot.FIRST_DELAY", 0.001)
    unlocking = Unlocking(node)
    logging.getLogger("p2pchat.bot").addHandler(unlocking)
    got: list[str] = []

    @bot.on_message
    def remember(message: Message) -> None:
        got.append(message.text)
        if message.text == "restart" and len(got) == 1:
            node.greeting["state"] = "locked"
            raise errors.NodeGone
        if message.text == "end":
            bot.stop()

    bot.on_start(lambda: [store.add("restart"), store.add("end")])
    try:
        bot.work()
    finally:
        logging.getLogger("p2pchat.bot").removeHandler(unlocking)
    assert got == ["restart", "restart", "end"]


def test_a_locked_profile_is_said(profile: Profile) -> None:
    with FakeNode(profile, state="locked"), pytest.raises(errors.Locked) as caught:
        Bot(profile.folder).work()
    assert "p2pchat unlock" in caught.value.line()


def test_it_ends_its_program_with_one_line_and_the_exit_code(
    profile: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeNode(profile, state="locked"), pytest.raises(SystemExit) as caught:
        Bot(profile.folder).run()
    assert caught.value.code == 4
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert told.err.startswith("p2pchat: This profile is locked. Unlock it")


def test_no_profile(profile: Profile) -> None:
    with pytest.raises(errors.NoProfile):
        Bot(profile.folder / "none").work()
    assert not (profile.folder / "none").exists()


def test_only_one_bot_of_a_name_runs_on_a_profile(bot: Bot, node: FakeNode) -> None:
    with Bookmark(path_of(bot.profile, "bot")), pytest.raises(errors.ProfileInUse) as caught:
        bot.work()
    assert str(os.getpid()) in caught.value.message
    other = Bot(bot.profile.folder, name="other")
    with Bookmark(path_of(bot.profile, "bot")):
        other.on_start(other.stop)
        other.work()


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_function_finish(bot: Bot, node: FakeNode, store: Store, which: signal.Signals) -> None:
    before = signal.getsignal(which)

    @bot.on_message
    def slow(message: Message) -> None:
        signal.raise_signal(which)
        message.reply(message.text)

    bot.on_start(lambda: [store.add("one"), store.add("two")])
    bot.work()
    assert [text for _, text in store.sent] == ["one"]
    assert Bookmark(bot._bookmark).position == 10
    assert signal.getsignal(which) == before


def test_a_second_signal_ends_the_function_too(bot: Bot, node: FakeNode, store: Store) -> None:
    @bot.on_message
    def stuck(message: Message) -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        message.reply(message.text)

    bot.on_start(lambda: store.add("one"))
    bot.work()
    assert store.sent == []
    assert Bookmark(bot._bookmark).position == 0  # it comes again


@pytest.mark.parametrize("signalled", [False, True], ids=["asked", "signalled"])
def test_it_ends_at_once_where_it_waits(deadline: None, signalled: bool) -> None:
    ending, waits = Ending(), threading.Event()

    def end() -> None:
        assert waits.wait(60)
        if signalled:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            ending.ask()

    thread = threading.Thread(target=end)
    silent, other = socket.socketpair()
    with silent, other, ending.by_signals():
        thread.start()
        waits.set()
        with pytest.raises(Ended):
            ending.wait(silent)
    thread.join(60)


def test_it_waits_on_where_another_signal_comes(deadline: None) -> None:
    ending = Ending()
    one, other = socket.socketpair()
    with one, other, ending.by_signals():
        signal.raise_signal(signal.SIGWINCH)  # nobody's: no handler, and no byte
        previous = signal.signal(signal.SIGUSR1, lambda *_: other.send(b"x"))
        try:
            signal.raise_signal(signal.SIGUSR1)
            ending.wait(one)
            assert one.recv(1) == b"x"
            ending.wait(seconds=0)
        finally:
            signal.signal(signal.SIGUSR1, previous)


# --- which profile -------------------------------------------------------------------------------------------------


def test_the_profile_is_that_of_the_command_line(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PCHAT_PROFILE", str(profile.folder / "environment"))
    for words, name in (
        ([], "environment"),
        (["-x", "--profile", str(profile.folder / "argument"), "-vx"], "argument"),
        ([f"--profile={profile.folder / 'argument'}"], "argument"),
    ):
        monkeypatch.setattr("sys.argv", ["bot.py", *words])
        assert Bot().profile == Profile(profile.folder / name)
        assert Bot(profile.folder).profile == profile
    monkeypatch.setattr("sys.argv", ["bot.py", "--profile"])
    with pytest.raises(errors.UsageError):
        Bot()


@pytest.mark.parametrize("name", ["", "../x", "a b", "x" * 33])
def test_a_name_is_a_part_of_a_file_name(profile: Profile, name: str) -> None:
    with pytest.raises(errors.UsageError):
        Bot(profile.folder, name=name)


def test_a_brake_needs_a_number(profile: Profile) -> None:
    with pytest.raises(errors.UsageError):
        Bot(profile.folder, per_minute=0)
    assert issubclass(TooFast, errors.NotNow)


# --- files -------------------------------------------------------------------------------------------------------


def test_files_and_texts_come_in_the_order_of_arrival(bot: Bot, node: FakeNode, store: Store) -> None:
    order: list[tuple[str, str]] = []
    got: list[FileMessage] = []
    bot.on_message(lambda message: order.append(("text", message.text)))

    @bot.on_file
    def take(message: FileMessage) -> None:
        order.append(("file", message.text))
        got.append(message)
        if message.text == "end":
            bot.stop()

    def begin() -> None:
        store.add("one")
        store.add("two", kind="file", file=FILE["file"])
        store.add("mine", kind="file", file=FILE["file"], mine=True)
        store.add("", kind="file", file=FILE["file"], deleted=True)
        store.add("three")
        store.add("end", kind="file", file=FILE["file"])

    bot.on_start(begin)
    bot.work()
    assert order == [("text", "one"), ("file", "two"), ("text", "three"), ("file", "end")]
    assert (got[0].name, got[0].size, got[0].type, got[0].form) == ("photo.jpg", 1_234_567, "image/jpeg", "picture")
    assert "photo" not in repr(got[0])


def test_a_bot_saves_a_file_and_sends_one(
    bot: Bot, node: FakeNode, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done: list[object] = []

    @bot.on_file
    def answer(message: FileMessage) -> None:
        done.append(message.save("in", timeout=5))
        done.append(message.reply_file("out.txt", "here"))
        bot.stop()

    node.answers["send_file"] = {"id": "bb" * 16, "warning": "It may tell its place."}
    bot.on_start(lambda: store.add("", kind="file", file=FILE["file"]))
    bot.work()
    assert done == [Path("/x/photo.jpg"), "bb" * 16]
    assert isinstance(done[1], SentFile)
    assert done[1].warning == "It may tell its place."
    asked = [(method, params) for method, params in node.calls if method.endswith("_file")]
    assert asked[0] == ("save_file", {"id": f"{1:032x}", "to": str(tmp_path / "in"), "timeout": 5})
    assert asked[1][0] == "send_file"
    assert {"chat": ID, "path": str(tmp_path / "out.txt"), "caption": "here"}.items() <= asked[1][1].items()


def test_files_count_for_the_rate_limit(node: FakeNode, store: Store, profile: Profile) -> None:
    bot = Bot(profile.folder, per_minute=2)

    @bot.on_file
    def flood(message: FileMessage) -> None:
        try:
            for _ in range(3):
                message.reply_file("x")
        finally:
            bot.stop()

    bot.on_start(lambda: store.add("", kind="file", file=FILE["file"]))
    bot.work()
    assert sum(method == "send_file" for method, _ in node.calls) == 2
