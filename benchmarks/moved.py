"""How long two people need to find each other after both have changed their address: real nodes and relays on loopback.

contact_found_ms_p95        the second of the two nodes is ready at its new address, until there is a link
"""

from __future__ import annotations

import time

from benchmarks.figures import percentile
from benchmarks.people import Line, Person, befriend
from benchmarks.relayed import two_with_relays, wait_until

ROUNDS = 12


def found_ms(rounds: int = ROUNDS) -> list[float]:
    """Milliseconds of each round: both are off at once, and come back on other loopback addresses and ports."""
    took = []
    with two_with_relays() as (alice, bob, _):
        befriend(alice, bob)
        wait_for_link(bob)
        for number in range(rounds):
            for person in (alice, bob):
                person.stop()
            for at, person in enumerate((alice, bob)):
                person.listen = f"/ip4/127.0.{1 + number}.{1 + at}/tcp/0"
                person.start()
            began = time.perf_counter()
            wait_for_link(bob)
            took.append((time.perf_counter() - began) * 1000)
    return took


def wait_for_link(bob: Person) -> None:
    """Wait until there is a link with bob's only contact."""
    with Line(bob) as client:
        wait_until(lambda: client.call("contacts")[0]["route"] in ("direct", "circuit"))


def main() -> None:
    """Measure once and print: `python -m benchmarks.moved`."""
    took = found_ms()
    print(f"contact_found_ms_p95 {percentile(took, 0.95):.0f}, of", *(f"{ms:.0f}" for ms in sorted(took)))


if __name__ == "__main__":
    main()
