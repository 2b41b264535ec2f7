"""Which relays answer, by what was last heard of each."""

from __future__ import annotations

from p2pchat.core.ids import RelayName
from p2pchat.engine.delivery.relay_answers import RelayAnswers

HILL, LAKE, OURS = RelayName(b"hill"), RelayName(b"lake"), RelayName(b"ours")


def test_one_that_was_not_tried_counts_while_any_answers() -> None:
    answers = RelayAnswers()
    assert answers.accept({HILL: True}), "nothing is known against it"
    assert not answers.accept({HILL: False}), "no circuit is known to lead there"
    answers = answers.noted(OURS, False)
    assert not answers.accept({HILL: True}), "nothing answers, so why should it"
    assert answers.noted(OURS, True).accept({HILL: True})


def test_one_that_was_tried_in_vain_does_not_count_until_it_answers() -> None:
    answers = RelayAnswers().noted(OURS, True).noted(LAKE, False)
    assert answers.noted(LAKE, False) == answers, "it is said after every attempt"
    assert not answers.accept({LAKE: True})
    assert answers.accept({LAKE: True, HILL: True})
    assert answers.noted(LAKE, None) == answers, "that it is not needed now makes nothing better"
    assert answers.forgotten(LAKE).accept({LAKE: True})
    alone = answers.noted(LAKE, True).noted(OURS, False)
    assert alone.accept({LAKE: False})
    assert not alone.noted(LAKE, None).accept({LAKE: True}), "nobody knows, and nothing answers"
