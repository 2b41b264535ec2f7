"""The page "The way of a message" is true: a message is followed through the program."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import p2pchat
from p2pchat.engine.methods.service import EngineService
from tests.support.world import World, run_world
from tests.world.test_delivery import friends

ROOT = Path(p2pchat.__file__).parent
PAGE = ROOT.parent / "docs" / "way-of-a-message.md"
LEGS = [
    (path, name) for path, name in re.findall(r"^\| \d+ \| .* \| `(\S+):(\S+)` \|$", PAGE.read_text(), re.MULTILINE)
]
FACES, LIBP2P = ("tui/", "api/"), ("net/libp2p/", "net/transport/")


def test_the_way_is_short() -> None:
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)]
    assert numbers == list(range(1, len(LEGS) + 1))
    assert len(LEGS) <= 60
    assert len({path for path, _ in LEGS}) <= 36


def test_every_function_on_the_way_exists() -> None:
    for path, name in LEGS:
        text = (ROOT / path).read_text()
        owner, _, function = name.rpartition(".")
        assert re.search(rf"^ *(async )?def {function}\(", text, re.MULTILINE), f"{path}:{name}"
        assert not owner or re.search(rf"^class {owner}\b", text, re.MULTILINE), f"{path}:{name}"


def test_a_message_goes_that_way(tmp_path: Path) -> None:
    """Those legs that the fake world has too, in their order: engine, core, store, and the net above its hosts."""
    wanted = [leg for leg in LEGS if not leg[0].startswith((*FACES, *LIBP2P))]
    called: list[tuple[str, str]] = []
    known = set(wanted)

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(f"{ROOT}/"):
            leg = frame.f_code.co_filename[len(f"{ROOT}/") :], frame.f_code.co_qualname
            if leg in known:
                called.append(leg)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        heard = bob.engine.events.subscribe()
        sys.setprofile(note)
        try:
            arguments = {"chat": "bob", "text": "hello", "wait": "saved"}
            assert EngineService(alice.engine, list).ask("send", arguments, lambda _result, _error: None)
            while (await heard.receive())["event"] != "message":
                pass
        finally:
            sys.setprofile(None)

    run_world(tmp_path, main)
    rest = iter(called)
    missed = [leg for leg in wanted if leg not in rest]  # each is looked for behind the one before
    assert missed == []
