"""What the numbers have to reach, each as it is on a quiet machine.

A time by itself says more about the machine than about the program. So each bar is held to a ratio: to another program,
to the other checkout, or to the floor of a round trip of the same minutes. The bars of the screen were set in
milliseconds for a machine whose floor is 4 ms: 60 ms there are 15 floors anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FLOOR_MS = 4.0


@dataclass(frozen=True)
class Bar:
    """A number that has to be at most, or at least, `bound`. field: of the row, "value" or "ratio". note: in other
    words.
    """

    bound: float
    field: str = "value"
    least: bool = False
    note: str = ""

    def holds(self, row: dict[str, Any]) -> bool:
        """Return whether a row reaches the bar."""
        seen = row[self.field]
        return seen is not None and (seen >= self.bound if self.least else seen <= self.bound)

    def text(self) -> str:
        """Return the bar as people read it: `≤ 1.6`."""
        unit = " x" if self.field == "ratio" else ""
        return f"{'≥' if self.least else '≤'} {self.bound:g}{unit}{self.note}"


def floors(ms: float) -> Bar:
    """Return the bar of a time in milliseconds for a machine whose floor is `FLOOR_MS`."""
    return Bar(ms / FLOOR_MS, "ratio", note=f" ({ms:g} ms)")


BARS: dict[str, Bar] = {
    "direct_round_trip_floor_ratio": Bar(1.6),
    "direct_round_trip_p99_p50_ratio": Bar(2.5),
    "direct_messages_floor_ratio": Bar(0.55, least=True),
    "circuit_round_trip_direct_ratio": Bar(1.4),
    "file_direct_mb_s": Bar(0.6, "ratio", least=True, note=" (150 MB/s)"),
    "file_circuit_mb_s": Bar(0.16, "ratio", least=True, note=" (40 MB/s)"),
    "chat_under_file_ms": Bar(3, "ratio"),
    "file_resume_s": floors(1000),
    "file_rss_mb": Bar(20),
    "node_ready_ms": Bar(0.75, "ratio"),
    "node_idle_mb": Bar(72),
    "first_paint_ms": Bar(1.2, "ratio"),
    "tui_idle_mb": Bar(60),
    "chat_100k_open_ms": floors(60),
    "key_echo_ms_p99": floors(40),
    "contact_found_ms_p95": floors(5000),
    "search_1m_ms": floors(100),
    "member_list_ms": Bar(1.2, "ratio"),
    "member_search_ms": floors(20),
    "group_open_ms": floors(60),
    "search_1m_prefix_ms": floors(100),
    "list_1k_ms": floors(60),
    "picture_warm_ms": floors(80),
    "picture_cold_ms": Bar(2, "ratio"),
    "group_last_reader_s": floors(3000),
    "group_log_10k_s": floors(3000),
    "group_saved_ms": floors(5),
    "group_50_ms": floors(250),
    "group_remove_kb": Bar(250),
    "group_remove_ms": floors(500),
    "group_member_ms": floors(20),
    "group_join_ms": floors(1000),
    "group_catch_up_10k_s": floors(3000),
    "group_rekey_5000_ms": floors(500),
    "group_rekey_5000_bytes": Bar(250_000),
    "group_rekeyed_5000_ms": floors(20),
    "beside_flood_per_s": Bar(1.4, "ratio", least=True),
    "beside_collect_s": Bar(0.45, "ratio"),
    "beside_deposits_16_per_s": Bar(1.2, "ratio", least=True),
    "beside_deposits_1000_per_s": Bar(1.2, "ratio", least=True),
    "beside_deposits_4000_per_s": Bar(1.4, "ratio", least=True),
    "beside_returning_cpu_ms": Bar(0.5, "ratio"),
}
"""By the name of the row."""


def judged(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with its bar, and whether it holds; both None where it has none."""
    bar = BARS.get(row["name"])
    return row | {"bar": bar and bar.text(), "holds": bar and bar.holds(row)}
