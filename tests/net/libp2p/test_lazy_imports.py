"""What importing the net does not bring with it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from p2pchat.net.libp2p import lazy_imports

HEAVY = ("aioquic", "dns", "httpx", "miniupnpc", "OpenSSL", "psutil", "requests", "trio_websocket", "zeroconf")


def run(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout


def test_a_node_loads_nothing_it_does_not_use() -> None:
    found = run(
        "import sys, p2pchat.net.libp2p.host, p2pchat.net.network, p2pchat.net.supervisor\n"
        f"print(*[name for name in {(*HEAVY, *lazy_imports.UNUSED)!r} if name in sys.modules])"
    )
    assert found.split() == []


def test_what_is_left_out_is_what_libp2p_would_load() -> None:
    """Otherwise it need not be on the list, or a new libp2p calls it something else."""
    script = (
        "import sys, libp2p, libp2p.host.basic_host\n"
        f"print(*[name for name in {lazy_imports.UNUSED!r} if name in sys.modules])"
    )
    assert tuple(run(script).split()) == lazy_imports.UNUSED


def test_whoever_wants_one_afterwards_gets_the_real_one() -> None:
    assert run("import p2pchat.net.libp2p, psutil\nprint(psutil.Process().pid > 0)").split() == ["True"]


def test_a_stand_in_is_good_for_what_an_import_does_with_it_and_for_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lazy_imports, "UNUSED", ("no_such_library",))
    with lazy_imports.leanly():
        from no_such_library.part import Thing, ThingError  # type: ignore[import-not-found]

        class Ours(Thing):  # type: ignore[misc]
            kept = Thing.made_from(1, two=2)

        ours = Ours()
    assert issubclass(ThingError, Exception)
    with pytest.raises(AttributeError):
        _ = ours.anything
    with pytest.raises(ModuleNotFoundError):
        import no_such_library  # type: ignore[import-not-found]  # noqa: F401
