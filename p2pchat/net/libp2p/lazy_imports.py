"""Importing libp2p without what we do not use of it.

libp2p loads at once whatever it can do: QUIC, TLS, RSA, WebSocket, mDNS, UPnP, a DHT, AutoTLS with two HTTP clients,
DNS. That is half of the time and of the memory that importing it takes, and code that only waits to be reached. While
libp2p is imported, empty modules stand in for those; afterwards whoever imports one gets the real one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

UNUSED = (
    "libp2p.crypto.rsa",
    "libp2p.crypto.secp256k1",
    "libp2p.discovery",
    "libp2p.kad_dht",
    "libp2p.peer.persistent",
    "libp2p.rcmgr.prometheus_exporter",
    "libp2p.security.pnet",
    "libp2p.security.secio",
    "libp2p.security.tls",
    "libp2p.transport.quic",
    "libp2p.transport.websocket",
    "multiaddr.resolvers",
    "prometheus_client",
    "psutil",
)


def _any(name: str) -> type[LeftOut] | type[LeftOutError]:
    if name.startswith("__"):
        raise AttributeError(name)
    return LeftOutError if name.endswith(("Error", "Exception")) else LeftOut


class _AnyName(type):
    def __getattr__(cls, name: str) -> type[LeftOut] | type[LeftOutError]:
        return _any(name)


class LeftOut(metaclass=_AnyName):
    """Stands for any name of a module that was left out: to inherit from, to annotate with, to keep; not to use."""

    def __init__(self, *_: object, **__: object) -> None:
        pass


class LeftOutError(Exception):
    """The same for an exception: to be caught, and never raised."""


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> type[LeftOut] | type[LeftOutError]:
        return _any(name)


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        unused = any(name == package or name.startswith(package + ".") for package in UNUSED)
        return ModuleSpec(name, self, is_package=True) if unused else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


@contextmanager
def leanly() -> Iterator[None]:
    """While this lasts, what is in `UNUSED` and was not imported before is not imported."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name, module in sys.modules.items() if isinstance(module, _StandIn)]:
            del sys.modules[name]
