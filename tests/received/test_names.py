"""A name from outside is one component of a path, harmless to type, and shows its real extension (attack 34)."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.received.names import MAX_NAME_BYTES, UNNAMED, numbered, safe_name, split
from p2pchat.sanitize import clean_line
from tests.received.hostile_names import DEVICES, NAMES, NOTHING

DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|$)", re.IGNORECASE)


def check(name: str) -> None:
    """Fail if something about a name can surprise."""
    assert 1 <= len(name.encode()) <= MAX_NAME_BYTES
    assert not set(name) & set('/\\<>:"|?*\0')
    assert name[0] not in " .-~"
    assert name[-1] not in " ."
    assert name == clean_line(name)
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp") for char in name)
    assert not any(unicodedata.category(char) == "Cf" for char in name.replace("\u200c", "").replace("\u200d", ""))
    assert "  " not in name
    assert not DEVICE.match(name)
    assert split(name)[1].isprintable()


def test_there_are_two_hundred_of_them() -> None:
    assert len(NAMES) >= 200


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_hostile_name_becomes_a_safe_one_that_stays(name: str) -> None:
    safe = safe_name(name)
    check(safe)
    assert safe_name(safe) == safe
    for number in (1, 999):
        check(numbered(safe, number))


@given(st.text(alphabet=st.characters(), max_size=400))
def test_any_name_becomes_a_safe_one_that_stays(name: str) -> None:
    safe = safe_name(name)
    check(safe)
    assert safe_name(safe) == safe
    check(numbered(safe, 7))


@pytest.mark.parametrize(
    "name",
    ["report.pdf", "Urlaub 2026 (3).jpeg", "می‌خواهم.txt", "家族.png",
     "👩‍👩‍👧.gif", "a.tar.gz", "no extension", "_con.txt"],
)  # fmt: skip
def test_an_ordinary_name_is_kept(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../.ssh/authorized_keys", "authorized_keys"),
        ("C:\\Users\\a\\x.exe", "x.exe"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("photo.jpg" + " " * 200 + ".exe", "photo.jpg .exe"),
        ("photo.jpg" + "\u3164" * 60 + ".exe", "photo.jpg .exe"),
        ("photo.jp\u200dg.e\u200cxe", "photo.jp\u200dg.exe"),
        ("a\0.png", "a_.png"),
        ("\x1b[2Jx", "_[2Jx"),
        ("x.txt. .", "x.txt"),
        ("e\u0301.txt", "\u00e9.txt"),
    ],
)
def test_what_deceives_is_taken_out_or_made_visible(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize("name", NOTHING, ids=ascii)
def test_of_some_names_nothing_is_left(name: str) -> None:
    assert safe_name(name) == UNNAMED


@pytest.mark.parametrize("name", DEVICES, ids=ascii)
def test_devices_of_windows_are_files(name: str) -> None:
    assert safe_name(name).startswith("_")


def test_a_long_name_keeps_its_extension_and_whole_letters() -> None:
    assert safe_name("a" * 300 + ".jpeg") == "a" * 250 + ".jpeg"
    assert safe_name("Ж" * 200 + ".tar.gz") == "Ж" * 124 + ".tar.gz"
    assert len(safe_name("x" + "." + "y" * 300)) == MAX_NAME_BYTES


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        ("a.png", 0, "a.png"),
        ("a.png", 1, "a (1).png"),
        ("a.tar.gz", 12, "a (12).tar.gz"),
        ("a", 2, "a (2)"),
        ("a" * 251 + ".png", 1, "a" * 247 + " (1).png"),
    ],
)
def test_a_number_stands_before_the_extension(name: str, number: int, expected: str) -> None:
    assert numbered(name, number) == expected
