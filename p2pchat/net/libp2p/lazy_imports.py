"""Importing of libp2p what we use.

A package's `__init__` commonly imports all of the package: libp2p's loads whatever it can do, QUIC, TLS, mDNS, UPnP, a
DHT, circuit relays, pubsub, AutoTLS with two HTTP clients. That is most of the time and of the memory that importing it
takes. So the packages in `PACKAGES` are executed when a name of theirs is first asked for; a module inside of one is
imported without that. Nothing is missing for whoever asks for more.

What modules that we use import by name cannot wait in that way. While these are imported (`leave_out_unused`), empty
modules stand in for those in `UNUSED`, which only wait there to be reached; afterwards whoever imports one gets the
real one.
"""

from __future__ import annotations

import sys
from abc import ABCMeta
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

PACKAGES = ("libp2p",)
"""Packages that are executed late, including their subpackages."""

UNUSED = (
    "libp2p.crypto.rsa",
    "libp2p.crypto.secp256k1",
    "libp2p.tools.anyio_service.api",
    "libp2p.transport.quic.stream",
)


# --- packages that are executed late ------------------------------------------------------------------------------


class _LatePackage(ModuleType):
    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        loader = self.__spec__.loader if self.__spec__ else None
        assert isinstance(loader, _LateLoader)
        loader.real.exec_module(self)
        return getattr(self, name)


class _LateLoader(Loader):
    def __init__(self, real: Loader) -> None:
        self.real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _LatePackage(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _LateFinder(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] not in PACKAGES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None and spec.submodule_search_locations is not None:
            spec.loader = _LateLoader(spec.loader)
        return spec


sys.meta_path.insert(0, _LateFinder())


# --- modules that others stand in for -----------------------------------------------------------------------------
def _any(name: str) -> type[LeftOut] | type[LeftOutError]:
    if name.startswith("__"):
        raise AttributeError(name)
    return LeftOutError if name.endswith(("Error", "Exception")) else LeftOut


class _AnyName(ABCMeta):
    def __getattr__(cls, name: str) -> type[LeftOut] | type[LeftOutError]:
        return _any(name)


class LeftOut(metaclass=_AnyName):
    """Stands in for any name of a module that was left out: to inherit from, annotate with or store, but not to use."""

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
def leave_out_unused() -> Iterator[None]:
    """In this context, modules in `UNUSED` that were not imported before are not imported."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name, module in sys.modules.items() if isinstance(module, _StandIn)]:
            del sys.modules[name]
            package, _, last = name.rpartition(".")
            if package in sys.modules:
                delattr(sys.modules[package], last)
