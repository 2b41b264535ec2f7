"""How many examples hypothesis makes up: few in `make check`, ten times as many in `make soak`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("P2PCHAT_EXAMPLES", "1"))


def examples(count: int) -> int:
    """`count` in `make check`."""
    return count * TIMES


def load_profile() -> None:
    """The same examples every time in `make check`, so that a red test is a real one; others in each `make soak`."""
    settings.register_profile(
        "p2pchat",
        derandomize=TIMES == 1,
        deadline=None,
        database=None,
        print_blob=True,
        max_examples=examples(50),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )
    settings.load_profile("p2pchat")
