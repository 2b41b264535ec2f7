"""Ports for programs that are told which to use."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from random import Random

PORTS = range(10_000, 32_000)
"""Registered ports, below those that a system gives to whoever asks for any: Linux from 32768 on, others from 49152."""

_kept: list[socket.socket] = []


def free_port(at: str = "127.0.0.1") -> int:
    """A TCP port that is free at an address of this machine, and stays free until a program takes it, and while the
    program is away for a moment.

    The system gives ports of `PORTS` to nobody who has not asked for that very one, and no other process of tests gets
    this one: its UDP port is kept here until this process ends.
    """
    for port in Random().sample(PORTS, len(PORTS)):
        with suppress(OSError), ExitStack() as stack:
            kept = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            kept.bind(("", port))
            socket.create_server((at, port)).close()
            stack.pop_all()
            _kept.append(kept)
            return port
    raise AssertionError(f"no port is free at {at}")
