"""Print every frame that passes an interface, in hex, one a line: `python -m tests.lab.capture INTERFACE`."""

from __future__ import annotations

import socket
import sys

ETH_P_ALL = 3

if __name__ == "__main__":
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.bind((sys.argv[1], 0))
    print("ready", flush=True)
    while True:
        print(sock.recv(65_535).hex(), flush=True)
