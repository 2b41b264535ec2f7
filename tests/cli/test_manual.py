"""The manual page: current, complete, and roff that man can set."""

from __future__ import annotations

from argparse import SUPPRESS
from pathlib import Path

import pytest

from p2pchat.cli import manual
from p2pchat.cli.main import MODULES, find
from p2pchat.cli.options import GLOBAL, Verb

PAGE = Path(manual.__file__).with_name("p2pchat.1")


def test_the_page_is_the_table() -> None:
    assert PAGE.read_text() == manual.document(), "run: make man"


VERBS = [verb for name in MODULES for verb in find(name).actions or (find(name),)]


@pytest.mark.parametrize("verb", VERBS, ids=[verb.name for verb in VERBS])
def test_every_verb_is_there_with_its_arguments_options_and_example(verb: Verb) -> None:
    page = PAGE.read_text().replace(r"\-", "-")
    part = page[page.index(rf"\fBp2pchat {verb.name}\fR") :].split("\n.RE\n", 1)[0]
    assert all(rf"\fI{arg.name}\fR" in part for arg in verb.args)
    told = [option for option in verb.opts if option.settings["help"] != SUPPRESS]
    assert all(rf"\fB{flag}\fR" in part for option in told for flag in option.flags)
    assert f".B {manual._escaped(verb.example)}".replace(r"\-", "-") in part


def test_global_options_are_there_once() -> None:
    page = PAGE.read_text().replace(r"\-", "-")
    for option in GLOBAL:
        assert page.count(rf"\fB{option.flags[-1]}\fR") == 1


def test_no_line_is_obeyed_that_is_meant_to_be_printed() -> None:
    known = {"TH", "SH", "TP", "B", "br", "RS", "RE", "PP"}
    assert {line[1:].split(" ")[0] for line in PAGE.read_text().splitlines() if line.startswith(".")} <= known
    assert manual._escaped(".de evil") == r"\&.de evil"
    assert PAGE.read_text().isascii()
    assert manual._escaped("a\\b --c") == r"a\eb \-\-c"
