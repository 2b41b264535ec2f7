"""The relay's metrics, totals over all clients: for Prometheus, and for a health check.

The HTTP server does the minimum that a scraper needs, and listens only if asked to. The only label is the reason of a
refusal, one of a few words that are fixed in advance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import trio
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from p2pchat.errors import NodeError
from p2pchat.relay.config import BadSetting

TIMEOUT = 5.0  # seconds that a scraper has to ask, and then to take its answer
_MAX_REQUEST = 8192
_MAX_SCRAPES = 8  # at the same time
MAX_SILENT = 64  # connections that have not asked: the oldest goes when a further one comes

Numbers = Mapping[str, Any]
"""Numbers by name; for the names in `BY_REASON`, numbers by reason."""

COUNTERS = {
    "deposits": "Blobs deposited",
    "fetched": "Blobs fetched",
    "pushed": "Blobs pushed to clients that watch their queue",
    "deletes": "Delete requests",
    "records_kept": "Presence records that were put or replaced",
    "records_asked": "Requests for presence records",
    "files_deposited": "Blobs of files deposited",
    "files_fetched": "Blobs of files given out",
    "logs_appended": "Blobs appended to logs",
    "logs_read": "Blobs of logs given to readers who asked",
    "logs_pushed": "Blobs of logs pushed to readers who follow",
    "feed_puts": "Posts and heads of channels put",
    "feed_gets": "Requests for posts of channels",
    "feed_refused": "Posts and heads of channels refused",
    "reserved": "Reservations granted or renewed",
    "circuits_joined": "Circuits established",
    "circuits_cut": "Circuits cut because they reached a limit",
    "circuits_evicted": "Reservations and circuits ended to make room for others",
    "circuit_bytes": "Bytes relayed in circuits",
    "dht_asked": "Requests that the DHT server answered or refused",
    "dht_looked_up": "Requests for a record to the DHT server",
    "dht_kept": "Records that the DHT server took",
    "dht_refused": "Records and messages that the DHT server refused",
    "floods_ended": "Connections ended because they caused too much work",
    "restarts": "Restarts of the network",
}
BY_REASON = {
    "refused": "Deposits refused",
    "files_refused": "Deposits of blobs of files refused",
    "logs_refused": "Blobs for logs refused",
    "circuits_refused": "Reservations and circuits refused",
    "connections_refused": "Connections refused because all open ones belong to proven clients",
    "connections_ended": "Connections ended to make room or because they proved nothing",
}
GAUGES = {
    "clients": "Connected mailbox clients",
    "watched": "Queues watched by a client",
    "queues": "Queues that hold at least one blob",
    "blobs": "Blobs stored",
    "records": "Presence records stored, which count as blobs too",
    "bytes": "Bytes of blobs stored",
    "most_bytes": "Limit of bytes of blobs stored",
    "file_boxes": "File boxes that hold at least one blob",
    "file_blobs": "Blobs of files stored, which are not counted as blobs",
    "file_bytes": "Bytes of these",
    "most_file_bytes": "Limit of bytes of these",
    "logs": "Logs that hold at least one blob",
    "log_blobs": "Blobs in logs, which are not counted as blobs",
    "log_bytes": "Bytes of these",
    "most_log_bytes": "Limit of bytes of these",
    "log_followers": "Clients that follow a log, each counted once for each log",
    "feeds": "Feeds of channels mirrored",
    "feed_posts": "Posts in these",
    "feed_bytes": "Bytes of these",
    "most_feed_bytes": "Limit of bytes of these",
    "feed_clients": "Streams of readers and writers of channels",
    "waiting_bytes": "Bytes waiting to be written to clients",
    "connections": "Connected peers",
    "tasks": "Tasks in the process",
    "reservations": "Clients that others can reach through this relay",
    "circuits": "Open circuits",
    "dht_records": "Records that the DHT server keeps",
    "dht_bytes": "Bytes of these, with overhead",
    "dht_servers": "Other DHT servers that it knows",
    "longest_turn_seconds": "Longest turn of the event loop in about the last half minute",
    "healthy": "1 while the disk and the network work",
    "clock_held": "1 while the clock has jumped and nothing expires by it",
}


class _Relay(Collector):
    def __init__(self, numbers: Callable[[], Numbers]) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        numbers = self._numbers()
        for name, about in COUNTERS.items():
            yield CounterMetricFamily(f"p2pchat_relay_{name}", about, value=numbers[name])
        for name, about in BY_REASON.items():
            family = CounterMetricFamily(f"p2pchat_relay_{name}", about, labels=("reason",))
            for reason, count in numbers[name].items():
                family.add_metric((reason,), count)
            yield family
        for name, about in GAUGES.items():
            yield GaugeMetricFamily(f"p2pchat_relay_{name}", about, value=numbers[name])


def registry_of(numbers: Callable[[], Numbers]) -> CollectorRegistry:
    """Return a registry with the metrics of the relay and of its process."""
    registry = CollectorRegistry()
    registry.register(_Relay(numbers))
    ProcessCollector(registry=registry)
    return registry


async def listeners(where: str) -> Sequence[trio.SocketListener]:
    """Listen at HOST:PORT. Raises BadSetting or NodeError."""
    host, colon, port = where.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 <= int(port) < 65536:
        raise BadSetting(f"--metrics is HOST:PORT, such as 127.0.0.1:9464, not {where!r}")
    try:
        return await trio.open_tcp_listeners(int(port), host=host.strip("[]"))
    except OSError as exc:
        raise NodeError(f"Metrics cannot be served at {where}: {exc.strerror}") from exc


async def serve(listening: Sequence[trio.SocketListener], numbers: Callable[[], Numbers]) -> None:
    """Answer `GET /metrics` and `GET /healthz` until cancelled. Slow scrapes do not delay a health check."""
    registry, scrapes = registry_of(numbers), trio.Semaphore(_MAX_SCRAPES)
    silent: dict[trio.CancelScope, None] = {}  # oldest first

    async def ask(stream: trio.SocketStream) -> bytes:
        if len(silent) >= MAX_SILENT:
            oldest = next(iter(silent))
            del silent[oldest]
            oldest.cancel()
        with trio.move_on_after(TIMEOUT) as scope:
            silent[scope] = None
            try:
                return await _request(stream)
            finally:
                silent.pop(scope, None)
        return b""

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                request = await ask(stream)
                if not request:
                    return
                with trio.move_on_after(TIMEOUT):
                    if _path(request) == b"/metrics":
                        async with scrapes:
                            await stream.send_all(_respond(request, registry, numbers()))
                    else:
                        await stream.send_all(_respond(request, registry, numbers()))

    await trio.serve_listeners(answer, listening)


async def _request(stream: trio.SocketStream) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data and len(data) < _MAX_REQUEST and (chunk := await stream.receive_some(4096)):
        data += chunk
    return data


def _path(request: bytes) -> bytes:
    """Return the requested path, or b"" if this is not a GET."""
    words = request.split(b"\r\n", 1)[0].split(b" ")
    return words[1].split(b"?")[0] if len(words) == 3 and words[0] == b"GET" else b""


def _respond(request: bytes, registry: CollectorRegistry, numbers: Numbers) -> bytes:
    match _path(request):
        case b"":
            return _response("405 Method Not Allowed", b"GET only\n")
        case b"/metrics":
            return _response("200 OK", generate_latest(registry), CONTENT_TYPE_LATEST)
        case b"/healthz" if numbers["healthy"]:
            about = b": but the clock has stepped and is not believed" if numbers["clock_held"] else b""
            return _response("200 OK", b"ok" + about + b"\n")
        case b"/healthz":
            return _response("503 Service Unavailable", b"the disk or the network fails\n")
        case _:
            return _response("404 Not Found", b"/metrics or /healthz\n")


def _response(status: str, body: bytes, kind: str = "text/plain; charset=utf-8") -> bytes:
    head: dict[str, Any] = {"Content-Type": kind, "Content-Length": len(body), "Connection": "close"}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    return "\r\n".join(lines).encode() + body
