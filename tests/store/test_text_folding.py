"""One spelling for what people type in several."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.store.text_folding import fold, indexed


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("Hello", "hELLO"),
        ("Ёлка", "елка"),
        ("е\u0308ж", "еж"),  # ё of two code points
        ("STRASSE", "straße"),
        ("\ufb01ne", "fine"),  # the ligature
        ("Ｆｕｌｌ", "full"),
        ("على", "علی"),
        ("كتاب", "کتاب"),
        ("می\u200cخواهم", "میخواهم"),
        ("سَلامٌ", "سلام"),
        ("ســـلام", "سلام"),
        ("آب", "اب"),
        ("co\u00adoperate", "cooperate"),
        ("İstanbul", "i\u0307stanbul"),
    ],
)
def test_the_same_word(written: str, asked: str) -> None:
    assert fold(written) == fold(asked)


@pytest.mark.parametrize(("one", "other"), [("еж", "ел"), ("и", "й"), ("کتاب", "کتب"), ("a", "а")])
def test_other_words(one: str, other: str) -> None:
    assert fold(one) != fold(other)


def test_letters_without_spaces_between_words_stand_alone() -> None:
    assert indexed("日本語 text").split() == ["日", "本", "語", "text"]
    assert indexed("Привет") == "привет"


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert "\0" not in fold(text)
