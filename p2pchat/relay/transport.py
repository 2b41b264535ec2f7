"""The server of a pluggable transport in front of a relay: a program that the relay starts, such as obfs4proxy.

It listens where the world can reach it, and passes on to the relay what clients say in disguise. What clients have to
be told for it becomes part of the addresses that the relay announces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from p2pchat.errors import Unreachable
from p2pchat.net import pluggable
from p2pchat.net.multiaddrs import SocketAddress
from p2pchat.net.transport.managed import Program, TransportFailed
from p2pchat.relay.addresses import Front
from p2pchat.relay.config import BadSetting

if TYPE_CHECKING:
    from trio_typing import TaskStatus

_ARGUMENT = re.compile(r"((?:[^\\,=]|\\.)*)=((?:[^\\,]|\\.)*)(?:,|\Z)")
_ESCAPED = re.compile(r"\\(.)")


class RelayTransport:
    """One program. command: the program and its arguments. front: where it is found and where it listens. state: its
    folder, with its keys. bound: returns where the relay itself listens.
    """

    def __init__(
        self,
        command: Sequence[str],
        front: Front,
        state: Path,
        bound: Callable[[], Sequence[SocketAddress]],
        random: Callable[[int], bytes],
    ) -> None:
        self._front = front
        self._bound = bound
        self._program = Program(front.name, command, self._settings, state, random, server=True)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run it until cancelled, and start it again when it ends. Raises BadSetting if it does not start at first."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._program.run)
            try:
                await self._program.ready()
            except Unreachable as error:
                raise BadSetting(error.message) from None
            self._complete()
            task_status.started()

    def addresses(self) -> list[str]:
        """Return where clients reach the relay through it; nothing while it does not run."""
        with suppress(BadSetting):
            return self._complete()
        return []

    def _complete(self) -> list[str]:
        """Return the addresses with what clients have to be told. Raises BadSetting if that does not fit into them."""
        method = self._program.method
        if method is None:
            return []
        try:
            transport = pluggable.make_transport(self._front.name, read_arguments(method.arguments))
        except ValueError:
            raise BadSetting(
                f"What clients have to be told for {self._front.name} does not fit into an address"
            ) from None
        return [f"{address}/pt/{transport.name}/{transport.text()}" for address in self._front.addresses]

    def _settings(self) -> Mapping[str, str]:
        name, bound = self._front.name, self._bound()
        if not bound:  # as while the host restarts
            raise TransportFailed("the relay does not listen now")
        inside = bound[0]
        host = ("127.0.0.1" if inside.ip.version == 4 else "::1") if inside.ip.is_unspecified else str(inside.ip)
        return {
            "TOR_PT_SERVER_TRANSPORTS": name,
            "TOR_PT_SERVER_BINDADDR": f"{name}-{self._front.listen}",
            "TOR_PT_ORPORT": f"[{host}]:{inside.port}" if inside.ip.version == 6 else f"{host}:{inside.port}",
            "TOR_PT_EXTENDED_SERVER_PORT": "",
        }


def read_arguments(written: str) -> list[tuple[str, str]]:
    """Return the keys and values that a server has written as ARGS, commas between them. Raises ValueError."""
    pairs, at = [], 0
    while at < len(written):
        found = _ARGUMENT.match(written, at)
        if found is None:
            raise ValueError
        pairs.append((_ESCAPED.sub(r"\1", found[1]), _ESCAPED.sub(r"\1", found[2])))
        at = found.end()
    return pairs
