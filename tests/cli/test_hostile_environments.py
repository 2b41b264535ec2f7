"""Every verb in environments that lack what programs take for granted: one clear line, never a fault, never a hang.

`make check` tries some of the environments, other ones in each run, and `make soak` all.

The verbs are run in children of one process that has imported them, so that hundreds of runs take seconds. What would
run for ever, or tell a whole story, is given a word with which it ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from p2pchat.cli import options
from p2pchat.cli.main import MODULES, find
from p2pchat.locations import Profile
from tests.cli.node import FakeNode
from tests.support.processes import SOURCE
from tests.support.sampling import sampled

ENDING = {
    "relay": ["status"],
    "rpc": [],
    "demo": ["--help"],
    "tail": ["--count", "0"],
    "echo": ["--wake"],
    "node": ["status"],
}
"""Words for verbs that would go on without them; what else a verb needs is made up from its table."""

RUNNER = """
import importlib, json, os, resource, signal, sys, tempfile
from p2pchat import __main__ as program
from p2pchat.cli import main
for module in set(main.MODULES.values()):
    importlib.import_module("p2pchat.cli." + module)
import p2pchat.api.client, p2pchat.api.starting, p2pchat.cli.context, tempfile
import p2pchat.relay.config, p2pchat.relay.folder  # of another user's child, which cannot read every checkout

def run(case):
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os.environ.clear()
        os.environ.update(case["environment"])
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(out_end, 1)
        os.dup2(err_end, 2)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
        tempfile.tempdir = None
        if case["cwd"] == "gone":
            os.chdir(tempfile.mkdtemp(dir=sys.argv[1]))
            os.rmdir(os.getcwd())
        if case["user"]:
            os.setresuid(case["user"], case["user"], case["user"])
        if case["full"]:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
            os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
        kept = []  # when the last reference to a stream goes, Python 3.13 and later say that its file is closed
        for number in case["closed"]:
            os.close(number)
            name = ("stdin", "stdout", "stderr")[number]
            kept.append(getattr(sys, name))
            setattr(sys, name, None)
        sys.argv[1:] = case["words"]
        try:
            program.main()
        except SystemExit as exc:
            code = exc.code
        except BaseException as exc:
            os.write(2, ("ESCAPED " + repr(exc)).encode())
            code = 99
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                pass
        os._exit(code or 0)
    os.close(out_end)
    os.close(err_end)
    status = os.waitpid(child, 0)[1]
    said = []
    for end in (out, err):  # less than a pipe holds
        with open(end, "rb") as file:
            said.append(file.read().decode(errors="replace"))
    return {"code": os.waitstatus_to_exitcode(status), "out": said[0], "err": said[1]}

for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
"""


def words_of(verb: str) -> list[str]:
    """A command line of the verb with everything it demands."""
    first, *second = verb.split()
    table = options.chosen(find(first), second)[0]
    given = [arg.choices[0] if arg.choices else "bob" for arg in table.args if arg.required]
    for option in table.opts:
        if option.required:
            given += [option.flags[-1], "x"]
    return [*verb.split(), *ENDING.get(verb, given)]


Environment = dict[str, Any]


def environments(here: Path, profile: Path) -> dict[str, Environment]:
    """By name: what a process is given. `profile` has a node that answers."""
    plain = {"PATH": os.environ["PATH"], "HOME": str(here), "XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]}
    there = {**plain, "P2PCHAT_PROFILE": str(profile)}

    def made(environment: dict[str, str], **more: object) -> Environment:
        return {"environment": environment, "cwd": "", "user": 0, "full": False, "closed": [], **more}

    nobody = 54_321 if os.getuid() == 0 else 0  # an id that has no name; only root can become it
    found = {
        "no home, unknown user": made({}, user=nobody),
        "home of nobody": made({"P2PCHAT_PROFILE": "~nosuchuser/x"}),
        "relative home": made({"HOME": "x"}, user=nobody),
        "folder gone": made({**plain, "P2PCHAT_PROFILE": "relative"}, cwd="gone"),
        "long path": made({**plain, "P2PCHAT_PROFILE": "/" + "x" * 5000}),
        "odd bytes": made({**plain, "P2PCHAT_PROFILE": f"{here}/\udcff\u202e\x1b"}),
        "a file for a folder": made({**plain, "P2PCHAT_PROFILE": "/dev/null"}),
        "not a folder of ours": made({**plain, "P2PCHAT_PROFILE": "/proc/1/x"}, user=nobody),
        "no terminal, odd locale": made({**there, "LC_ALL": "xx", "LANG": "xx_XX.UTF-9", "NO_COLOR": "1"}),
        "C": made({**there, "LC_ALL": "C", "TERM": ""}),
        "no place for temporary files": made({"P2PCHAT_PROFILE": str(profile), "TMPDIR": "/nowhere"}),
        "full disk": made(there, full=True),
    }
    for closed in ([0], [1], [2], [0, 1, 2]):
        found[f"closed {closed}"] = made(there, closed=closed)
    return found


def test_every_verb_ends_with_a_clear_line_wherever_it_runs(tmp_path: Path, profile: Profile) -> None:
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert runner.stdin is not None
    assert runner.stdout is not None
    with runner, runner.stdin as tell:
        found = list(environments(tmp_path, profile.folder).items())
        for name, environment in sampled(found, 6, "environments"):
            with FakeNode(profile):
                verbs = [verb.name for name in MODULES for verb in (find(name), *find(name).actions)]
                for verb in sorted(verbs, key=lambda verb: verb == "lock"):  # which ends the node
                    tell.write(json.dumps({**environment, "words": words_of(verb)}) + "\n")
                    tell.flush()
                    done = json.loads(runner.stdout.readline())
                    said = f"{name}: {verb}: {done}"
                    assert done["code"] in (0, 1, 2, 3, 4, 5), said
                    for word in ("bug in p2pchat", "Traceback", "ESCAPED", "Error:", "Exception"):
                        assert word not in done["err"] + done["out"], said
                    if done["code"] and 2 not in environment["closed"]:
                        assert done["err"].count("p2pchat: ") == 1, said
                    assert "\x1b" not in done["err"] + done["out"], said


INTERRUPTED_WHILE_LOADING = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "p2pchat.cli.output":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from p2pchat import __main__
__main__.main()
"""


def test_an_interrupt_while_the_program_loads_ends_it_without_a_word() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_LOADING, "--version"],
        env={"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"]},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")
