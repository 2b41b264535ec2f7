"""Which relays answer, as far as is known: whether something can be left for a contact now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from p2pchat.core.ids import RelayName


@dataclass(frozen=True, slots=True)
class RelayAnswers:
    """The relays that answer, and those that were tried in vain since they last did."""

    answering: frozenset[RelayName] = frozenset()
    silent: frozenset[RelayName] = frozenset()

    def noted(self, relay: RelayName, answers: bool | None) -> RelayAnswers:
        """Return the same with whether a relay answers; None: nobody knows, since it is not needed now."""
        silent = self.silent if answers is None else self.silent - {relay}
        if answers:
            return RelayAnswers(self.answering | {relay}, silent)
        return RelayAnswers(self.answering - {relay}, silent | {relay} if answers is False else silent)

    def forgotten(self, relay: RelayName) -> RelayAnswers:
        """Return the same without that a relay was tried in vain: nobody has a queue there any more."""
        return replace(self, silent=self.silent - {relay})

    def accept(self, relays: Mapping[RelayName, bool]) -> bool:
        """Return whether one of these relays answers or, while any relay does, was not tried in vain. With each of them
        stands whether we connect to it ourselves; where only a circuit may lead, not having tried is no reason to hope.
        """
        if not self.answering.isdisjoint(relays):
            return True
        untried = any(direct and relay not in self.silent for relay, direct in relays.items())
        return untried and (bool(self.answering) or not self.silent)
