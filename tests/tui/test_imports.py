"""What the screen imports: nothing slow before the node is started, and nothing ever that holds keys."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HEAVY = {"libp2p", "trio", "nacl", "cryptography", "sqlcipher3", "multiaddr"}
SOURCE = Path(__file__).resolve().parents[2]


def imported_by(module: str) -> set[str]:
    """All modules that a fresh interpreter has after importing one."""
    code = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=SOURCE, check=True)
    return set(json.loads(done.stdout))


def test_the_app_pulls_in_nothing_that_the_node_needs() -> None:
    found = imported_by("p2pchat.tui.app")
    assert "textual.app" in found
    assert {name.partition(".")[0] for name in found} & HEAVY == set()


def test_rare_things_are_imported_when_they_are_used() -> None:
    found = imported_by("p2pchat.tui.app")
    assert {"segno", "arabic_reshaper", "bidi", "PIL"} & found == set()
    assert {name for name in found if name.startswith("p2pchat.tui.screens.")} == {"p2pchat.tui.screens.main"}
    assert not [name for name in found if name.startswith(("p2pchat.engine", "p2pchat.store", "p2pchat.net"))]
    after_the_first_picture = {"p2pchat.tui.actions.every", "p2pchat.tui.desktop", "p2pchat.tui.formatting", "html"}
    assert after_the_first_picture & found == set()
    assert "_hashlib" not in found  # OpenSSL


def test_the_launch_loads_no_openssl() -> None:
    launched = "p2pchat.tui.launch as launch; launch.import_asyncio(); import p2pchat.tui.app"
    assert {"ssl", "_ssl"} & imported_by(launched) == set()
    assert "ssl" in imported_by(f"{launched}; import ssl")  # nobody else is kept from it


def test_the_launch_imports_no_textual() -> None:
    found = imported_by("p2pchat.tui.launch, p2pchat.cli.main")
    assert {name.partition(".")[0] for name in found} & {"textual", "rich", "asyncio", *HEAVY} == set()
