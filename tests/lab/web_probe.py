"""Ask a web server, from the machine this runs on: `python -m tests.lab.web_probe ADDRESS NAME [watch]`.

Takes a list of requests on stdin. Makes each on a connection of its own over TLS, and leaves all of these open. Prints
what was answered to each, as a list in JSON with bytes in Latin-1. With `watch`, also prints which connections are
still open, once the first has been closed or `SECONDS` have passed.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import sys
from contextlib import suppress

SECONDS = 5.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def dial(address: str, name: str) -> ssl.SSLSocket:
    """Connect as somebody would who scans the internet: whose certificate it is matters to nobody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context.wrap_socket(socket.create_connection((address, 443), SECONDS), server_hostname=name)


def answer(connection: ssl.SSLSocket, *, body: bool) -> bytes:
    """Read one answer to its end. body: False if it is but a head."""
    said = b""
    with suppress(TimeoutError, ConnectionError, ssl.SSLError):
        while chunk := connection.recv(65536):
            said += chunk
            head, end, page = said.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            most = int(length[1]) if body and length else 0
            if end and len(page) >= most:
                break
    return said


def is_open(connection: ssl.SSLSocket, seconds: float) -> bool:
    """Whether the other side has not closed it for so long."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except (ConnectionError, ssl.SSLError):
        return False


def main(address: str, name: str, watch: str = "") -> None:
    """Do it all."""
    connections, answers = [], []
    for request in json.load(sys.stdin):
        connections.append(dial(address, name))
        connections[-1].sendall(request.encode("latin-1"))
        answers.append(answer(connections[-1], body=not request.startswith("HEAD ")).decode("latin-1"))
    print(json.dumps(answers))
    if watch:
        first, *rest = connections
        print(json.dumps([is_open(first, SECONDS), *(is_open(connection, 0.01) for connection in rest)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
