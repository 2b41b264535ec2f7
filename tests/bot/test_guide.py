"""The program of docs/guide/bot.md, as it stands there, on real profiles and nodes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

from p2pchat.api import methods
from tests.support.processes import SOURCE, Place, Running
from tests.support.steps import fine, make, new_invite, start

GUIDE = SOURCE / "docs" / "guide" / "bot.md"
MAX_LINES = 25
TEXT = "hello\n  Привет سلام 👩‍🚀 "


def blocks(language: str) -> list[str]:
    """The blocks of the guide in a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return [text for named, text in found if named == language]


def program() -> str:
    """The one block of Python."""
    (found,) = blocks("python")
    return found


def run_bot(here: Place, profile: str, source: str) -> Running:
    """The bot's process, on its profile."""
    path = here.folder / "echo.py"
    path.write_text(source)
    process = subprocess.Popen(
        [sys.executable, str(path), "--profile", str(here.folder / profile)],
        env=here.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    running = Running(process)
    here.started.append(running)
    return running


def hear(tail: Running, text: str) -> str:
    """The next message a tail prints that is not one's own; its text."""
    while (message := tail.hear())["from"] == "me":
        pass
    assert message["text"] == text
    return str(message["from"])


def test_the_program_is_short() -> None:
    assert 5 < len(program().splitlines()) < MAX_LINES


def test_the_program_of_the_guide_answers_and_survives(here: Place) -> None:
    make(here, "echo", "alice")
    node, _ = start(here, "echo", "alice")
    invite = new_invite(here, "echo", "--reusable")
    bot = run_bot(here, "echo", program())
    joined = fine(here.run("alice", "add", invite, "--wait", "accepted", "--timeout", "60s", "--json"))
    assert joined[0]["state"] == "contact"
    tail = here.start("alice", "tail", "--since", "", "--count", "6")
    assert here.run("alice", "send", "echo", TEXT).code == 0
    assert hear(tail, TEXT) == "echo"

    # Its node is killed: it starts another one, and nothing is lost.
    node.end(signal.SIGKILL)
    assert here.run("alice", "send", "echo", "after the crash").code == 0
    hear(tail, "after the crash")

    # It ends, and answers at its next start what came meanwhile, once.
    done = bot.end()
    assert (done.code, done.out) == (0, "")
    assert TEXT.split()[0] not in done.err
    assert here.run("alice", "send", "echo", "while away", "--wait", "delivered", "--timeout", "60s").code == 0
    bot = run_bot(here, "echo", program())
    hear(tail, "while away")
    assert tail.wait().code == 0
    assert bot.end(signal.SIGINT).code == 0
    said = [(one["from"], one["text"]) for one in fine(here.run("echo", "log", "alice", "--json"))]
    texts = [TEXT, "after the crash", "while away"]
    assert [text for sender, text in said if sender == "me"] == texts
    assert [text for sender, text in said if sender == "alice"] == texts


def test_it_starts_a_node_and_says_what_hinders_it(here: Place) -> None:
    (here.folder / "pw").write_text("secret")
    assert here.run("echo", "init", "--name", "echo", "--passphrase-file", str(here.folder / "pw")).code == 0
    done = run_bot(here, "echo", program()).wait()
    assert (done.code, done.out, done.err.count("\n")) == (4, "", 1)
    assert "p2pchat unlock" in done.err
    done = run_bot(here, "none", program()).wait()
    assert (done.code, done.err.count("\n")) == (1, 1)


def test_the_example_of_rpc_is_the_api() -> None:
    """Every method, event and field of the guide's example exists."""
    (block,) = [each for each in blocks("") if '"jsonrpc"' in each]
    named = re.findall(r'"method":"(\w+)"', block)
    assert set(named) <= {*methods.BY_NAME, *methods.EVENT_NAMES}
    assert len(named) == 3
    for name, params in re.findall(r'"id":\d,"method":"(\w+)","params":\{([^}]*)\}', block):
        assert set(re.findall(r'"(\w+)":', params)) <= {param.name for param in methods.BY_NAME[name].params}
