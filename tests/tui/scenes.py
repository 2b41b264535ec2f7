"""Every screen of the program in a state worth looking at, with an invented node: nothing in it changes by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from p2pchat.locations import Profile
from p2pchat.tui.app import ChatApp
from p2pchat.tui.model import file_of
from p2pchat.tui.node_client import NodeClient
from p2pchat.tui.screens.pick_file import PickFileScreen
from p2pchat.tui.screens.record import RecordScreen
from p2pchat.tui.screens.save_file import SaveFileScreen
from p2pchat.tui.screens.send_file import SendFileScreen
from p2pchat.tui.screens.welcome import WelcomeScreen
from tests.support.processes import PATIENCE
from tests.support.quick_loop import QuickLoop
from tests.tui.conftest import until
from tests.tui.fake_files import file_object, photo, voice
from tests.tui.fake_groups import member
from tests.tui.fake_sound import FakeSound
from tests.tui.fakes import FakeNode
from tests.tui.pictures import take

NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
QUIET_PAUSES = 2
"""Where so many pauses of the pilot brought nothing new to the screen, all is still: a thread may answer meanwhile."""

Pilot_ = Pilot[Any]
Act = Callable[[ChatApp, Pilot_], Awaitable[None]]

LATIN = (
    ("Anna Lindqvist", 1500, "Did you get home all right? The last train was cancelled, I read"),
    ("me", 1490, "I walked. It took an hour, and it was lovely: snow on the bridges, nobody about"),
    ("Anna Lindqvist", 55, "are we still on for tonight?"),
    ("me", 50, "Yes! Seven, at the little place behind the station"),
    ("me", 49, "I have asked Tomás as well"),
    ("Anna Lindqvist", 30, "Perfect 🎉 I'll bring the book I promised you, the one about the lighthouse keepers"),
    ("Anna Lindqvist", 29, "and the 2 photos"),
)
RUSSIAN = (
    ("Мария Орлова", 1500, "Ты уже дома? Говорят, последнюю электричку отменили"),
    ("me", 1490, "Дошёл пешком. Целый час, зато красота: снег на мостах и вокруг ни души"),
    ("Мария Орлова", 55, "Вечером всё в силе?"),
    ("me", 50, "Да! В семь, в том кафе за вокзалом"),
    ("Мария Орлова", 30, "Отлично 🎉 Захвачу книгу, которую обещала, — про смотрителей маяка"),
    ("Мария Орлова", 29, "и ещё две фотографии"),
)
PERSIAN = (
    ("سارا رضایی", 1500, "رسیدی خانه؟ شنیدم آخرین قطار را لغو کرده‌اند"),
    ("me", 1490, "پیاده آمدم. یک ساعت طول کشید، ولی خیلی زیبا بود: برف روی پل‌ها و هیچ‌کس در خیابان نبود"),
    ("سارا رضایی", 55, "قرار امشب سر جایش است؟"),
    ("me", 50, "بله! ساعت ۷، همان کافهٔ کوچک پشت ایستگاه (Café Lumière)"),
    ("سارا رضایی", 30, "عالی 🎉 کتابی را که قول داده بودم می‌آورم، دربارهٔ نگهبانان فانوس دریایی"),
    ("سارا رضایی", 29, "و دو تا عکس"),
)
CHINESE = (
    ("李明", 1500, "你到家了吗？听说最后一班火车取消了"),
    ("me", 1490, "走回来的。走了一个小时，不过很美：桥上都是雪，路上一个人也没有，只听得见自己的脚步声"),
    ("李明", 55, "今晚还去吗？"),
    ("me", 50, "去！七点，车站后面那家小馆子（Café Lumière）"),
    ("李明", 30, "太好了 🎉 我带上答应给你的那本书，讲灯塔看守人的，👨‍👩‍👧 也一起来"),
    ("李明", 29, "还有两张照片"),
)
NETWORK = (
    ("here", "network", "good", "IPv4 and IPv6, with a route to the internet"),
    ("here", "clock", "good", "2026-11-20T10:30:00.000Z, and your relay says the same, to the hour"),
    ("here", "listening", "good", "/ip4/192.168.1.7/tcp/4001, /ip6/2001:db8::7/tcp/4001"),
    ("here", "reachability", "good", "others reach this node directly from this network only and through 1 relay"),
    (
        "here",
        "freezing",
        "note",
        "this network freezes connections with 1 host after a few kilobytes, so short ones are made there, one after "
        "the other: mail comes and goes that way, more slowly, and nobody reaches you through a relay there",
    ),
    ("here", "nat", "note", "a router translates addresses (NAT): this machine has private ones only"),
    (
        "here",
        "key",
        "good",
        "relays, and whoever connects to this node, know it by a transport key that is 3 days old. It is replaced "
        "after a week or so, at a start of the node",
    ),
    (
        "relays",
        "relay",
        "good",
        "/ip4/203.0.113.5/tcp/4001/p2p/12D3KooWQGm56z2o9uDVrPUbmBwEvfKGZH7m5RXKG9Gs41xEncbj connected over IPv4 for 2 "
        "hours; answers in 45 ms; others reach you through it; keeps 4 queues for you, each message for 4 weeks at "
        "most",
    ),
    (
        "relays",
        "relay",
        "bad",
        "/dns4/relay.example/tcp/443/wss/p2p/12D3KooWGVn3b8U323qG68s32Vx3dvZLcYYwix7PcMS6FuUGGcWP unreachable for "
        "1 minute: no address answered",
    ),
    (
        "relays",
        "others",
        "good",
        "9 others known, to be reached by if none of yours answers; 2 of them have worked. `p2pchat relays --all` "
        "lists them",
    ),
    ("contacts", "contact", "good", "Zoë: linked, direct, through both routers over IPv4, for 2 hours"),
    ("contacts", "contact", "good", "سارا رضایی: linked, circuit through your relay 203.0.113.5:4001, for 1 minute"),
    (
        "contacts",
        "contact",
        "bad",
        "Tomás: no link; messages wait: none of their relays answers; 2 addresses of theirs dialled 40 seconds ago, "
        "without an answer",
    ),
    ("contacts", "contact", "note", "李明: has not accepted yet: your request is stored at a relay until 21 Dec"),
    ("seen", "operators", "note", "whoever runs a relay of yours sees your network address, never content or names"),
    ("seen", "contacts", "note", "Zoë can see your network address, and that you are online"),
)
TALKS = {"latin": LATIN, "russian": RUSSIAN, "persian": PERSIAN, "chinese": CHINESE}


@dataclass(frozen=True)
class Scene:
    """What the node knows, and how one gets to the screen. `talk`: whose conversation is open, None for nobody's.
    `recoloured`: whether what is open takes another theme. `resized`: whether it stays in a window of another size.
    """

    act: Act
    shows: str
    talk: str | None = "latin"
    passphrase: str | None = None
    profile: bool = True
    recoloured: bool = True
    resized: bool = True


def peopled(talk: str | None, passphrase: str | None = None) -> FakeNode:
    """A node with some contacts, and a conversation in one of the languages."""
    node = FakeNode(passphrase=passphrase, now=NOW)
    if talk is None:
        return node
    node.friend("Tomás", route=None)
    node.said(node.friend("dad", route=None), "call you on Sunday", "saved", ago=timedelta(hours=20))
    node.friend("王芳" if talk == "chinese" else "李明", state="waiting", route=None)
    zoe = node.friend("Zoë", verified=True)
    node.says(zoe, "see you there", ago=timedelta(hours=3))
    node.says(zoe, "bring a coat", ago=timedelta(hours=2, minutes=10))
    others = {"latin": "Мария Орлова", "russian": "سارا رضایی", "persian": "Anna Lindqvist", "chinese": "سارا رضایی"}
    node.says(node.friend(others[talk], route="circuit"), "👍", ago=timedelta(hours=2))
    chat = node.friend(TALKS[talk][0][0], verified=True)
    for sender, minutes, text in TALKS[talk]:
        ago = timedelta(minutes=minutes)
        if sender == "me":
            node.said(chat, text, "read" if minutes > 1000 else "delivered", ago=ago)
        else:
            node.says(chat, text, ago=ago)
    for ident, history in node.history.items():
        node.read_upto[ident] = len(history) - {zoe: 1, chat: 2}.get(ident, 0)
    return node


@contextlib.asynccontextmanager
async def on_stage(
    scene: Scene, folder: Path, columns: int, rows: int, theme: str = "dark"
) -> AsyncIterator[tuple[ChatApp, Pilot_]]:
    """The app in the state of a scene; nothing blinks."""
    node = peopled(scene.talk, scene.passphrase)
    node.settings["keep_receiving"] = None
    profile = Profile(folder)
    if scene.profile:
        profile.make_folder()
        profile.database.touch()
    app = ChatApp(profile, node=NodeClient(profile, node.open), now=lambda: NOW, clock=lambda: 0.0)
    app.animation_level = "none"
    vars(app)["NOTIFICATION_TIMEOUT"] = 3600.0  # a notice stays until the picture is taken
    app.theme = theme
    async with app.run_test(size=(columns, rows), notifications=True) as pilot:
        await until(pilot, lambda: app.settled or not scene.profile or scene.passphrase)
        if app.settled and scene.talk is not None:
            await all_seen(app, pilot)
        await scene.act(app, pilot)
        for widget in app.screen.query("*"):
            if isinstance(widget, Input | TextArea):
                widget.cursor_blink = False
        await settled(app, pilot, scene.shows)
        yield app, pilot


async def all_seen(app: ChatApp, pilot: Pilot_) -> None:
    """Until the node knows that what stands on the screen is read. It is told a few times a second, so at any time."""
    await until(pilot, lambda: all(not chat.unread for chat in app.state.chats if chat.id == app.state.current))


async def settled(app: ChatApp, pilot: Pilot_, shows: str = "", *, looking: bool = True) -> None:
    """Until nothing more happens: what must be seen is seen, and nothing moves any more. Without `looking` nothing is
    drawn, which is most of the work.
    """
    loop = asyncio.get_running_loop()
    assert isinstance(loop, QuickLoop)
    deadline = monotonic() + PATIENCE
    still, drawn = 0, -1
    while still < QUIET_PAUSES or (looking and drawn != loop.frames) or getattr(app.screen, "busy", False):
        before = loop.frames
        await pilot.pause()
        still = still + 1 if loop.frames == before else 0
        if looking and still == QUIET_PAUSES - 1:
            drawn, picture = loop.frames, take(app)  # a widget may find its height as it is drawn
            if shows not in picture.shown:
                still = 0
        assert monotonic() < deadline, f"waited in vain for {shows!r}\n{take(app).shown}"


def press(*keys: str) -> Act:
    """Keys, one after the other; all is still before a key that is no letter, and in the end."""

    async def act(app: ChatApp, pilot: Pilot_) -> None:
        for key in keys:
            if len(key) > 1:
                await settled(app, pilot, looking=False)
            await pilot.press(key)
        await settled(app, pilot)

    return act


_DONE = (
    "Anna Lindqvist made Sören a moderator.",
    "Tomás muted Sören until 2026-12-21T14:05:00.000Z.",
    "Anna Lindqvist let members add people.",
    "Anna Lindqvist removed Viktor: he sold tickets here and would not stop; 11 of 12 members have seen it.",
    "You ended slow mode.",
)


def in_group(*keys: str) -> Act:
    """A group in which something was said and done, then keys."""

    async def act(app: ChatApp, pilot: Pilot_) -> None:
        node = node_of(app)
        members = [
            member(1, "Anna Lindqvist", "admin", contact="Anna Lindqvist", verified=True),
            member(2, "Tomás", "moderator", contact="Tomás"),
            member(3, "Sören"),
            member(4, "سارا رضایی"),
            member(5, "S\u00f6ren"),
            member(6, "李明", "observer"),
        ]
        chat = node.group("Friday football", members, topic="Fridays at seven, behind the station")
        anna, tomas, soren, sara, other, _ = members
        node.writes(chat, tomas, "who brings the ball?", ago=timedelta(minutes=50))
        asked = node.writes(chat, soren, "@Tomás I do. @Me can you bring the pump?", ago=timedelta(minutes=45))
        asked["mentions_me"] = True
        node.said(chat, "I'll look for it", "stored", ago=timedelta(minutes=44))
        node.writes(chat, sara, "ساعت هفت، کنار ایستگاه؟", ago=timedelta(minutes=30))
        node.does(chat, "Anna Lindqvist added 李明.")
        node.history[chat][-1]["received_at"] = node._stamp(-timedelta(minutes=20))
        node.writes(chat, other, "at half past six for me", ago=timedelta(minutes=10))
        quote = node._quote(asked["id"])
        node.writes(chat, anna, "there is one in the hut", ago=timedelta(minutes=5), reply_to=asked["id"], quote=quote)
        node.read_upto[chat] = len(node.history[chat])
        node.done[chat] += [
            {
                "id": f"{number:064x}",
                "at": f"2026-11-{20 + number % 10}T09:00:00.000Z",
                "text": text,
                "by": "Anna Lindqvist",
                "op": "add",
                "known_by": None,
            }
            for number, text in enumerate(_DONE)
        ]
        node.wants_in(chat, "Ольга", "I am a friend of Tomás, he told me about Fridays")
        node.emit("lagged")
        await until(pilot, lambda: app.state.chat(chat) is not None)
        await app.talk.open(chat)
        await press(*keys)(app, pilot)

    return act


def typed(text: str) -> list[str]:
    """A text as keys."""
    return [{" ": "space", "/": "slash"}.get(letter, letter) for letter in text]


async def talked(app: ChatApp, pilot: Pilot_) -> None:
    """A conversation with everything in it that a conversation may have.

    Another chat is open while the messages come, so that those of this one are unread when it is opened.
    """
    node = node_of(app)
    chat = app.state.current
    assert chat is not None
    await app.talk.open(next(other.id for other in app.state.chats if other.name == "Tomás"))
    node.relays, node.on_event, told = 2, None, node.on_event
    history = node.history[chat]
    del history[-2:]
    asked, answered = history[-3]["id"], history[-2]
    answered |= {
        "text": "Yes! Seven, behind the station. What opens the door:\n```sh\nssh door@lamp 'open 7'\n```",
        "reply_to": asked,
        "quote": node._quote(asked),
    }
    node.versions[history[-1]["id"]] = [{"text": "I have asked Tomas", "at": history[-1]["sent_at"]}]
    history[-1] |= {"edited_at": history[-1]["sent_at"], "text": "I have asked **Tomás** as well"}
    node.reacts(history[-4]["id"], "❤️", "Anna Lindqvist")
    node.reacts(history[-3]["id"], "👍")
    last = node.says(
        chat, "Perfect 🎉 The way there: https://lamp.example/seven?from=station", ago=timedelta(minutes=30)
    )
    last["pinned"] = True
    node.says(chat, "and the 2 photos", ago=timedelta(minutes=29))
    node.read_upto[chat] = len(history) - 2
    node.on_event = told
    node.knocks("Grace Hopper")
    node.emit("lagged")
    await until(
        pilot, lambda: app.state.requests and any(row.id == chat and row.unread == 2 for row in app.state.chats)
    )
    await app.talk.open(chat)
    await all_seen(app, pilot)


async def filed(app: ChatApp, pilot: Pilot_) -> None:
    """A conversation with a picture, a voice note, and transfers in every state."""
    node, chat = node_of(app), app.state.current
    assert chat is not None
    node.history[chat].clear()
    node.read_upto[chat] = 0
    minutes = iter(range(59, 0, -6))

    def at() -> timedelta:
        return timedelta(minutes=next(minutes))

    node.says(chat, "look what is left of the bridge", ago=at())
    node.sends_file(chat, photo("the bridge, seen from the old mill.jpg"), "It was still snowing", ago=at())
    node.sent_file(
        chat,
        file_object("scores.pdf", 480_000, state="waiting", progress=0.0, stored=0.38, path="/home/me/scores.pdf"),
        ago=at(),
    )
    moving = {"state": "moving", "progress": 0.42, "rate": 1_230_000}
    node.sends_file(
        chat, file_object("lighthouse keepers of the north, first draft.epub", 34_500_000, **moving), ago=at()
    )
    paused = {"state": "paused", "progress": 0.77, "problem": "The disk is full: 2 GB are missing."}
    node.sends_file(chat, file_object("concert.flac", 2_900_000_000, **paused), ago=at())
    node.sends_file(chat, file_object("archive.zip", 80_000_000, state="offered", progress=0.0), ago=at())
    node.sends_file(chat, voice(), ago=at())
    node.emit("lagged")
    await until(pilot, lambda: "archive.zip" in take(app).shown)
    await all_seen(app, pilot)
    await settled(app, pilot)


def in_files(*keys: str) -> Act:
    """Keys in the conversation with files."""

    async def act(app: ChatApp, pilot: Pilot_) -> None:
        await filed(app, pilot)
        await press(*keys)(app, pilot)

    return act


async def picked(app: ChatApp, pilot: Pilot_) -> None:
    """A folder with a few files, of which one is to be sent."""
    folder = papers(app)
    await app.push_screen(PickFileScreen(folder, home=folder.parent))
    await settled(app, pilot)
    await press("down", "down")(app, pilot)


async def offered(app: ChatApp, pilot: Pilot_) -> None:
    """A picture is about to be sent."""
    folder = papers(app)
    await app.push_screen(SendFileScreen(folder / "bridge.jpg", "Anna Lindqvist", home=folder.parent))
    await settled(app, pilot)
    await press(*"snow")(app, pilot)


def papers(app: ChatApp) -> Path:
    """A folder with files and folders."""
    folder = app.profile.folder / "papers"
    (folder / "letters").mkdir(parents=True)
    (folder / "2025").mkdir()
    for name, size in (("bridge.jpg", 1_240_000), ("scores.pdf", 480_000), ("notes.txt", 812), (".hidden", 1)):
        (folder / name).write_bytes(bytes(size))
    return folder


async def recording(app: ChatApp, pilot: Pilot_) -> None:
    """A voice note is being recorded."""
    await app.push_screen(RecordScreen(FakeSound(), "Anna Lindqvist"))
    await settled(app, pilot)
    await press("enter")(app, pilot)


async def saved_to(app: ChatApp, pilot: Pilot_) -> None:
    """The folder is asked for into which a file is to be saved."""
    file = file_of(file_object("lighthouse keepers of the north.epub", 34_500_000))
    assert file is not None
    await app.push_screen(SaveFileScreen(file, "~/Downloads"))
    await settled(app, pilot)


async def answering(app: ChatApp, pilot: Pilot_) -> None:
    """An answer to a message is written."""
    await talked(app, pilot)
    await press("ctrl+up", "r", *"soon")(app, pilot)


async def asked(app: ChatApp, pilot: Pilot_) -> None:
    """Two people ask, one of them known already."""
    node = node_of(app)
    node.knocks("Grace Hopper")
    node.knocks("علی")
    node.knocks("Мария Орлова", known=True)
    await until(pilot, lambda: len(app.state.requests) == 3)
    await press("ctrl+r")(app, pilot)


async def relayed(app: ChatApp, pilot: Pilot_) -> None:
    """Three relays, one of them out of reach, and one that a contact offers to be."""
    node = node_of(app)
    node.lends("/ip4/203.0.113.5/tcp/4001/p2p/12D3KooWQGm56z2o9uDVrPUbmBwEvfKGZH7m5RXKG9Gs41xEncbj")
    node.lends(
        "/dns4/relay.example/tcp/443/p2p/12D3KooWGVn3b8U323qG68s32Vx3dvZLcYYwix7PcMS6FuUGGcWP",
        "unreachable",
        "nobody answers there",
    )
    node.lends("/ip6/2001:db8::7/tcp/4001/p2p/12D3KooWSuN6Zq5GfLxwV9BBHsaw9hV9ibQJjyPcTxBnm5sAa4o9")
    node.lends(
        "/ip4/198.51.100.9/tcp/40123/p2p/12D3KooWF7wtWb1wRv6Vea9pU2MyT9jRd2LRHnTwUt2Eb4VC1zZe", "offered", contact="Zoë"
    )
    await press(*typed("/relays"), "enter")(app, pilot)


async def told(app: ChatApp, pilot: Pilot_) -> None:
    """A relay of ours, and those that it and a contact have told of."""
    node, home = node_of(app), "/ip4/203.0.113.5/tcp/4001/p2p/12D3KooWQGm56z2o9uDVrPUbmBwEvfKGZH7m5RXKG9Gs41xEncbj"
    node.lends(home)
    node.tells("/dns4/relay.example/tcp/443/wss/p2p/a", home, worked="2026-11-18T10:30:00.000Z", in_use=True)
    node.tells("/ip6/2001:db8::7/tcp/4001/p2p/b", "سارا رضایی", stores=False)
    node.tells("/ip4/198.51.100.9/tcp/40123/p2p/c", None)
    await press(*typed("/relays"), "enter")(app, pilot)
    await press("o", "down")(app, pilot)


async def networked(app: ChatApp, pilot: Pilot_) -> None:
    """A line, two relays, contacts by every way, and what can be said of all that."""
    node = node_of(app)
    for row in NETWORK:
        node.says_of_network(*row)
    node.network_next = [
        "While a relay does not answer, messages come through your other one. `p2pchat relays add` adds a third.",
        "A contact's node may be off, or neither side can dial the other; with a relay, messages can wait there.",
    ]
    await press("f4")(app, pilot)


async def ordered(app: ChatApp, pilot: Pilot_) -> None:
    """One chat above the others, one muted, two put away; the list shows all of it."""
    node = node_of(app)
    node._do_pin_chat("Zoë")
    node._do_mute("Мария Орлова", 28_800)
    node._do_archive("dad")
    node._do_archive("Tomás")
    await until(pilot, lambda: app.state.archive is not None and app.state.archive.chats == 2)
    await listed(app, pilot)
    await press("end", "enter")(app, pilot)


async def made(app: ChatApp, pilot: Pilot_) -> None:
    """Invites that are open, used and ended."""
    node = node_of(app)
    zoe = next(chat.id for chat in app.state.chats if chat.name == "Zoë")
    node.makes("the rowing club")
    node.makes(state="used", users=[(zoe, "Zoë")])
    node.makes("for 李明", state="revoked")
    await press(*typed("/invites"), "enter")(app, pilot)


def in_talk(*keys: str) -> Act:
    """Keys in the conversation with everything in it."""

    async def act(app: ChatApp, pilot: Pilot_) -> None:
        await talked(app, pilot)
        await press(*keys)(app, pilot)

    return act


async def linked(app: ChatApp, pilot: Pilot_) -> None:
    """A message with two links, of which one is to be opened."""
    chat = app.state.current
    assert chat is not None
    node_of(app).says(chat, "https://lamp.example/seven or https://müller.example/karte", ago=timedelta(minutes=1))
    await until(pilot, lambda: "karte" in take(app).shown)
    await all_seen(app, pilot)
    await press("ctrl+up", "o")(app, pilot)


async def listed(app: ChatApp, pilot: Pilot_) -> None:
    """The list of chats has the focus."""
    await press(*(["f2", "f2"] if app.main.listed else ["f2"]))(app, pilot)


async def gone(app: ChatApp, pilot: Pilot_) -> None:
    """The node has died and cannot be started again."""
    node_of(app).die(for_good=True)
    await until(pilot, lambda: app.node.trouble is not None)


def node_of(app: ChatApp) -> FakeNode:
    """The node of an app on this stage."""
    node: Any = app.node._link
    assert isinstance(node, FakeNode)
    return node


async def welcomed(app: ChatApp, pilot: Pilot_) -> None:
    """The first run, with a profile that is made at once."""

    async def create(name: str, passphrase: str | None) -> None:
        await asyncio.sleep(0)

    await app.push_screen(WelcomeScreen(create, default_name="anna"))
    await settled(app, pilot)


def first(*keys: str) -> Act:
    """Keys of the first run."""

    async def act(app: ChatApp, pilot: Pilot_) -> None:
        await welcomed(app, pilot)
        await press(*keys)(app, pilot)

    return act


SCENES = {
    "main-latin": Scene(press(), "2 photos"),
    "main-russian": Scene(press(), "две фотографии", talk="russian"),
    "main-persian": Scene(press(), "10:01", talk="persian"),
    "main-chinese": Scene(press(), "两张照片", talk="chinese"),
    "talk": Scene(talked, "2 photos"),
    "group": Scene(in_group(), "in the hut"),
    "group-members": Scene(in_group(*typed("/members"), "enter", "down"), "observer", recoloured=False),
    "group-page": Scene(in_group("ctrl+y"), "slow mode", recoloured=False),
    "group-member": Scene(in_group(*typed("/members tom"), "enter", "enter"), "mute them", recoloured=False),
    "group-log": Scene(in_group("ctrl+y", "l"), "made Sören", recoloured=False),
    "group-requests": Scene(in_group("ctrl+y", "r"), "a friend of", recoloured=False),
    "group-invite": Scene(in_group("ctrl+y", "i", "u", "a", "enter"), "GROUP234", recoloured=False),
    "files": Scene(filed, "archive.zip"),
    "files-picked": Scene(in_files("ctrl+up", "up", "up", "up"), "pause"),
    "files-list": Scene(in_files(*typed("/files"), "enter"), "concert.flac", recoloured=False),
    "files-pick": Scene(picked, "scores.pdf", recoloured=False),
    "files-send": Scene(offered, "bridge.jpg", recoloured=False),
    "files-save": Scene(saved_to, "~/Downloads", recoloured=False),
    "voice": Scene(recording, "0:07", recoloured=False),
    "picture": Scene(in_files("ctrl+up", *["up"] * 5, "space"), "bridge", recoloured=False),
    "answering": Scene(answering, "reply to"),
    "react": Scene(press("ctrl+up", "plus"), "React"),
    "delete": Scene(press("ctrl+up", "up", "up", "d"), "Delete it for both"),
    "theme": Scene(press(*typed("/theme"), "enter"), "catppuccin", recoloured=False),
    "settings": Scene(press("f3"), "density"),
    "ordered": Scene(ordered, "Tomás", resized=False),
    "pinned": Scene(in_talk("alt+g"), "Perfect", recoloured=False),
    "menu": Scene(in_talk("ctrl+up", "up", "up", "up", "m"), "copy the code", recoloured=False),
    "select": Scene(in_talk("ctrl+up", "up", "s", *["shift+right"] * 7), "Perfect", recoloured=False),
    "links": Scene(linked, "xn--", recoloured=False),
    "invites": Scene(made, "rowing", recoloured=False),
    "empty": Scene(press(), "You have no contacts yet", talk=None),
    "welcome": Scene(first(), "Your name", talk=None),
    "passphrase": Scene(first(*"Anna", "enter"), "Enter for none", talk=None),
    "passphrase-twice": Scene(first(*"Anna", "enter", *"secret", "enter"), "Repeat it", talk=None),
    "offer": Scene(first(*"Anna", "enter", "enter"), "I have an invite", talk=None),
    "unlock": Scene(press(*"wrong", "enter"), "does not open", passphrase="right"),
    "invite": Scene(press("ctrl+n"), "P2PCHAT:"),
    "invite-many": Scene(press("ctrl+n", "r"), "for many people"),
    "qr": Scene(press("ctrl+n", "q"), "Esc"),
    "add": Scene(press("ctrl+o"), "your friend sent you"),
    "requests": Scene(asked, "Grace Hopper"),
    "relays": Scene(relayed, "in reserve"),
    "relays-told": Scene(told, "no mailbox", recoloured=False),
    "network": Scene(networked, "Not everything works"),
    "relays-none": Scene(press(*typed("/relays"), "enter"), "The line of a relay"),
    "contact-latin": Scene(press("ctrl+y"), "30463"),
    "contact-russian": Scene(press("ctrl+y"), "30463", talk="russian"),
    "contact-persian": Scene(press("ctrl+y"), "30463", talk="persian"),
    "contact-chinese": Scene(press("ctrl+y"), "30463", talk="chinese"),
    "find-latin": Scene(press("ctrl+f", *"the"), "lighthouse"),
    "find-russian": Scene(press("ctrl+f", *"на"), "мостах", talk="russian"),
    "find-persian": Scene(press("ctrl+f", *"که"), "", talk="persian"),
    "help": Scene(press("f1"), "Ctrl+P"),
    "palette": Scene(press("ctrl+p"), "/help"),
    "confirm": Scene(press("ctrl+up", "d"), "Delete this message"),
    "explain": Scene(press("ctrl+up", "up", "up", "w"), "node confirmed"),
    "selected": Scene(press("ctrl+up", "up"), "copy"),
    "commands": Scene(press(*typed("/re")), "/rename"),
    "list": Scene(listed, "dad", resized=False),
    "keep": Scene(press(*typed("/quit"), "enter"), "Keep receiving"),
    "node-gone": Scene(gone, "restarting"),
}
