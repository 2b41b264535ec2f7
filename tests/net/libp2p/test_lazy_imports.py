"""What importing and running the net loads, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from p2pchat.net.libp2p import lazy_imports

NODE = "p2pchat.cli.serve, p2pchat.node, p2pchat.parts, p2pchat.net.libp2p.host, p2pchat.engine.methods.service"
PACKAGES = (
    *("attr", "attrs", "outcome", "sniffio", "sortedcontainers", "trio", "idna"),
    *("base58", "baseconv", "blake3", "google", "libp2p", "mmh3", "morphys", "multiaddr", "multibase", "multicodec"),
    *("multihash", "msgpack", "varint", "cryptography", "ifaddr", "nacl", "p2pchat", "sqlcipher3"),
    "typing_extensions",
)
"""What a node loads of what pip installed. Each costs every start and every idle node something: is it needed?"""
SLOW = ("email", "statistics", "uuid", "zipfile", "importlib.metadata")
"""What it leaves alone of Python's own library."""
UNUSED_PARTS = ("pubsub", "autonat", "dcutr", "upnp", "mdns", "rendezvous", "kad_dht", "bitswap")
"""Parts of libp2p that a node does not have, since it would answer, ask or announce by them. Some messages are used."""
MAX_LIBP2P_MODULES = 60  # unchanged it would load 360

_MEET = f"""
import sys, trio, {NODE}
from p2pchat.net.libp2p.host import LibP2PHost

async def main():
    a, b = (LibP2PHost(bytes([number]) * 32, ["/ip4/127.0.0.1/tcp/0"]) for number in (1, 2))
    async def greet(stream):
        await stream.write(b"hello")

    async with trio.open_nursery() as nursery:
        b.handle("/test/1", greet)
        for host in (a, b):
            await nursery.start(host.run)
        stream = await a.open(b.peer, b.addresses(), "/test/1")
        assert await stream.read(5) == b"hello"
        nursery.cancel_scope.cancel()

trio.run(main)
"""


def run(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout


def test_a_node_that_meets_another_loads_nothing_it_does_not_use() -> None:
    found = run(
        f"{_MEET}\n"
        "for name, module in sys.modules.items():\n"
        "    print(name, 'site-packages' in (getattr(module, '__file__', None) or ''), type(module).__name__)"
    )
    modules = {name: (installed == "True", kind) for name, installed, kind in map(str.split, found.splitlines())}
    packages = {name.partition(".")[0] for name, (installed, _) in modules.items() if installed}
    packages -= {"coverage"}  # measures the program where the tests are asked to
    assert {name for name in packages if not name.startswith("_")} <= set(PACKAGES)
    executed = [name for name, (_, kind) in modules.items() if kind != "_LatePackage" and ".pb" not in name]
    loaded = [name for name in executed if name.startswith("libp2p.")]
    assert [name for name in loaded if not set(UNUSED_PARTS).isdisjoint(name.split("."))] == []
    assert [name for name in (*SLOW, *lazy_imports.UNUSED) if name in modules] == []
    assert modules["libp2p"][1] == modules["libp2p.transport"][1] == "_LatePackage"
    assert len([name for name in modules if name.startswith("libp2p")]) <= MAX_LIBP2P_MODULES


def test_what_is_left_out_is_what_libp2p_would_load() -> None:
    """Otherwise it need not be on the list, or a new libp2p calls it something else."""
    script = f"import sys, libp2p\nprint(*[name for name in {lazy_imports.UNUSED!r} if name in sys.modules])"
    assert tuple(run(script).split()) == lazy_imports.UNUSED


def test_whoever_wants_one_afterwards_gets_the_real_one() -> None:
    script = (
        "import p2pchat.net.libp2p\n"
        "from libp2p import new_host\n"
        "from libp2p.crypto import rsa\n"
        "from libp2p.tools.anyio_service import Service, background_trio_service\n"
        "print(new_host.__module__, rsa.create_new_key_pair.__module__, Service.__module__)"
    )
    assert run(script).split() == ["libp2p", "libp2p.crypto.rsa", "libp2p.tools.anyio_service.api"]


def test_a_stand_in_is_good_for_what_an_import_does_with_it_and_for_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lazy_imports, "UNUSED", ("no_such_library",))
    with lazy_imports.leave_out_unused():
        from no_such_library.part import Thing, ThingError  # type: ignore[import-not-found]

        class Ours(Thing):  # type: ignore[misc]
            kept = Thing.made_from(1, two=2)

        ours = Ours()
    assert issubclass(ThingError, Exception)
    with pytest.raises(AttributeError):
        _ = ours.anything
    with pytest.raises(ModuleNotFoundError):
        import no_such_library  # type: ignore[import-not-found]  # noqa: F401
