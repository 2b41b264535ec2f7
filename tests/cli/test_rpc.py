"""The verb rpc: lines in, lines out."""

from __future__ import annotations

from p2pchat.api.codec import API_VERSION
from tests.cli.conftest import Run
from tests.cli.node import FakeNode


def test_rpc_passes_lines_on_and_ends_when_all_is_answered(node: FakeNode, p2pchat: Run) -> None:
    lines = [
        b'{"jsonrpc":"2.0","id":1,"method":"contacts"}',
        b"",
        b"nonsense",
        b'{"jsonrpc":"2.0","method":"doctor"}',
        b'{"jsonrpc":"2.0","id":"h","method":"hello","params":{"version":%d}}' % API_VERSION,
        b'{"jsonrpc":"2.0","id":2,"method":"send","params":{"chat":"b","text":"\xd1\x91"}}',  # no newline at the end
    ]
    result = p2pchat("rpc", stdin=b"\n".join(lines))
    assert result.code == 0
    answers = {each["id"]: each for each in result.objects()}
    assert set(answers) == {1, 2, "h", None}
    assert answers[1]["result"] == node.answers["contacts"]
    assert {"contacts", "doctor", "send"} == {name for name, _ in node.calls}


def test_rpc_without_a_word_ends(node: FakeNode, p2pchat: Run) -> None:
    result = p2pchat("rpc")
    assert (result.code, result.out, node.calls) == (0, "", [])
