"""The verbs about files: what they ask of the node, what they print where, and what they refuse before they ask."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2pchat import errors
from p2pchat.media import voice as notes
from p2pchat.media.notes import Note
from tests.cli.conftest import Run
from tests.cli.node import FILE, FakeNode

SENT = {"reply_to": None, "form": "auto", "as_is": False, "wait": "saved", "timeout": 30.0}


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    paths = (tmp_path / "a.txt", tmp_path / "-b.txt")
    for path in paths:
        path.write_text("x")
    return str(paths[0]), str(paths[1])


def test_files_go_one_by_one_and_the_caption_with_the_first(
    node: FakeNode, p2pchat: Run, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    monkeypatch.chdir(Path(first).parent)
    result = p2pchat("send", "bob", "--file", "a.txt", "./-b.txt", "--caption", "look")
    assert (result.code, result.out, result.err) == (0, f"{'bb' * 16}\n" * 2, "")
    assert node.calls == [
        ("send_file", {"chat": "bob", "path": first, "caption": "look", **SENT}),
        ("send_file", {"chat": "bob", "path": second, "caption": "", **SENT}),
    ]


def test_a_text_before_the_file_is_its_caption(node: FakeNode, p2pchat: Run, two: tuple[str, str]) -> None:
    assert p2pchat("send", "bob", "look", "--wait", "delivered", "--as-is", "--file", two[0], "--json").code == 0
    asked = {**SENT, "wait": "delivered", "as_is": True}
    assert node.calls == [("send_file", {"chat": "bob", "path": two[0], "caption": "look", **asked})]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--file", "gone.txt"], "gone.txt cannot be read: No such file"),
        (["--file", "a.txt", "gone.txt"], "gone.txt cannot be read"),
        (["--file", "."], ". is not a file"),
        (["--file", "pipe"], "pipe is not a file"),
        (["--file", "/dev/zero"], "/dev/zero is not a file"),
        (["--file", "a\0b"], "letters that no file can have"),
        (["hi", "--file", "a.txt", "--caption", "hi"], "given twice"),
        (["--text-file", "a.txt", "--file", "a.txt"], "given twice"),
        (["--file", "a.txt", "--caption", "й" * 2049], "4,096 bytes"),
        (["hi", "--caption", "hi"], "Name the files with --file"),
        (["hi", "--as-is"], "Name the files with --file"),
        (["--file"], "needs a value"),
    ],
)
def test_what_cannot_be_sent_is_said_before_anything_is(
    node: FakeNode, p2pchat: Run, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch, words: list[str], why: str
) -> None:
    monkeypatch.chdir(Path(two[0]).parent)
    os.mkfifo("pipe")
    result = p2pchat("send", "bob", *words)
    assert (result.code, result.out, node.calls) == (2, "", [])
    assert why in result.err


def test_what_was_saved_is_printed_although_it_did_not_arrive(
    node: FakeNode, p2pchat: Run, two: tuple[str, str]
) -> None:
    node.answers["send_file"] = errors.NotReached(result={"id": "cc" * 16, "state": "saved"})
    result = p2pchat("send", "bob", "--wait", "delivered", "--file", *two)
    assert (result.code, result.out) == (3, f"{'cc' * 16}\n")
    assert len(node.calls) == 1


def test_save_prints_the_path_alone_and_the_warning_beside_it(
    node: FakeNode, p2pchat: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = p2pchat("save", "ab", "--timeout", "5m")
    assert (result.out, result.err) == ("/x/photo.jpg\n", "This is a program.\n")
    assert node.calls == [("save_file", {"id": "ab", "to": str(tmp_path), "timeout": 300.0})]
    node.answers["save_file"] = errors.NotReached("photo.jpg is not whole yet")
    late = p2pchat("save", "ab")
    assert (late.code, late.out) == (3, "")


def test_a_list_has_what_a_person_needs_to_choose(node: FakeNode, p2pchat: Run) -> None:
    (line,) = p2pchat("files", "bob").out.splitlines()
    assert line.split("  ") == [
        "aa" * 16,
        line.split("  ")[1],
        "picture, 1.2 MB",
        "25 %, 100 kB/s, 9 s left",
        "bob",
        "photo.jpg",
    ]
    problem = {"state": "failed", "problem": "The file has changed since it was sent; send it again."}
    node.answers["files"] = [{**FILE, "file": {**FILE["file"], **problem}}]  # type: ignore[dict-item]
    assert p2pchat("files", "bob").out.rstrip().endswith(f"  failed  bob  photo.jpg  {problem['problem']}")
    node.answers["files"] = []
    assert p2pchat("files", "bob").err == "No files yet.\n"


def test_only_three_things_are_done_to_a_file(node: FakeNode, p2pchat: Run) -> None:
    result = p2pchat("files", "eat", "ab")
    assert (result.code, node.calls) == (2, [])
    assert "one of fetch, pause, cancel" in result.err


def test_a_log_says_what_was_sent(node: FakeNode, p2pchat: Run) -> None:
    node.answers["log"] = [FILE]
    lines = p2pchat("log", "bob").out.splitlines()
    assert lines[1].endswith("bob  (picture, image/jpeg, 1.2 MB, 640 x 480, 25 %, 100 kB/s, 9 s left) photo.jpg")
    assert lines[2].strip() == "look"


def test_a_hostile_name_is_the_end_of_its_line(node: FakeNode, p2pchat: Run) -> None:
    evil = "a\x1b[2J\n\u202e00:00  me  \x9bfree.exe"
    file = {**FILE["file"], "name": evil, "type": "a/b) \x1b[2J", "problem": evil}  # type: ignore[dict-item]
    node.answers["files"] = node.answers["log"] = [{**FILE, "file": file, "from": evil}]
    for words in (["files", "bob"], ["log", "bob"]):
        out = p2pchat(*words).out
        assert "\x1b" not in out
        assert "\x9b" not in out
        assert "\u202e" not in out
        assert out.replace("look", "").rstrip().endswith("free.exe")
        assert out.count("\n") == (1 if words[0] == "files" else 3)
        assert p2pchat(*words, "--json").objects()[0]["file"] == file


def test_a_warning_about_what_was_sent_is_on_stderr(node: FakeNode, p2pchat: Run, tmp_path: Path) -> None:
    photo = tmp_path / "photo.tif"
    photo.write_bytes(b"II*")
    warning = "This is a TIFF picture: it is sent as it is."
    node.answers["send_file"] = {
        "id": "bb" * 16,
        "state": "saved",
        "route": None,
        "stored_at": None,
        "warning": warning,
    }
    said = p2pchat("send", "bob", "--file", str(photo))
    assert (said.code, said.out, said.err) == (0, "bb" * 16 + "\n", warning + "\n")


# --- voice notes


NOTE = Note(b"OggS of a note", 7_000, bytes(64))


@pytest.fixture
def heard(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the files held that the node was given, read when it was asked."""
    found: list[bytes] = []

    def answer(path: str, **_: object) -> object:
        found.append(Path(path).read_bytes())
        return {"id": "bb" * 16, "state": "saved", "route": None, "stored_at": None}

    node.answers["send_file"] = answer
    monkeypatch.setattr(notes, "from_file", lambda path: NOTE if path.read_bytes() == b"x" else None)
    monkeypatch.setattr(notes, "record", lambda seconds: NOTE if seconds == 7 else None)
    return found


@pytest.mark.parametrize("source", [["--from", "a.txt"], ["--seconds", "7"]], ids=" ".join)
def test_a_voice_note_is_given_to_the_node_as_a_file_of_its_form(
    node: FakeNode,
    p2pchat: Run,
    two: tuple[str, str],
    heard: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    source: list[str],
) -> None:
    monkeypatch.chdir(Path(two[0]).parent)
    result = p2pchat("voice", "bob", *source, "--caption", "listen")
    assert (result.code, result.out, heard) == (0, f"{'bb' * 16}\n", [NOTE.data])
    (asked,) = [params for _, params in node.calls]
    assert (asked["form"], asked["caption"], asked["wait"]) == ("voice", "listen", "saved")
    assert not Path(asked["path"]).exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "Say --from or --seconds"),
        (["--from", "a.txt", "--seconds", "7"], "Say --from or --seconds"),
        (["--from", "gone.wav"], "cannot be read"),
        (["--seconds", "901"], "at most 900 seconds"),
        (["--seconds", "0"], "number from 1"),
    ],
)
def test_what_is_no_voice_note_is_not_sent(
    node: FakeNode, p2pchat: Run, heard: list[bytes], words: list[str], why: str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("x")
    result = p2pchat("voice", "bob", *words)
    assert (result.code, node.calls) == (2, [])
    assert why in result.err


def test_without_the_extra_it_says_how_to_get_it(
    node: FakeNode, p2pchat: Run, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_path: Path) -> None:
        raise errors.VoiceMissing

    monkeypatch.setattr(notes, "from_file", missing)
    result = p2pchat("voice", "bob", "--from", two[0])
    assert (result.code, node.calls) == (1, [])
    assert "make voice" in result.err
