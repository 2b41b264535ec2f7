"""What is known of a file's blobs when fetching it goes on: `engine.files.fetcher`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from p2pchat.core.files import CHUNK_BYTES, Layout
from p2pchat.core.ids import BlobName
from p2pchat.engine.files import fetcher
from p2pchat.engine.files.plan import Bits, Plan
from p2pchat.store.file_space import FileSpace


def test_what_was_written_before_a_kill_is_recognised_in_every_gap(tmp_path: Path) -> None:
    """A gap may be far from the last slot that is noted: relays lacked what the sender gave at last."""
    layout = Layout.of(600 * CHUNK_BYTES)
    with closing(FileSpace(tmp_path / "files").create()) as sealed:
        noted, unknown = {0, 1, 2, *range(300, 320)}, [10, 11, 150, 599]
        for slot in [*noted, *unknown]:
            sealed.write(slot, b"data")
        plan = Plan(layout, BlobName(bytes(32)), Bits(layout.blobs))
        assert fetcher._fill(plan, sealed, noted) == unknown
    assert plan.here.count == len(noted) + len(unknown)
