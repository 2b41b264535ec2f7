"""Alice and Bob, each behind a router, with two relays: whatever happens to these, nothing that was said is lost,
nothing comes twice, and what each said is in order.
"""

from __future__ import annotations

import shutil
import signal

import pytest

from tests.lab.liar import LIES
from tests.lab.topology import Lab
from tests.lab.town import RELAYS, Town


@pytest.fixture
def met(town: Town) -> Town:
    """Both relays work, and Alice and Bob, who are on, are contacts."""
    for relay in RELAYS:
        town.open(relay)
    town.settle("alice", "bob")
    town.befriend("alice", "bob")
    return town


def never_met(lab: Lab) -> bool:
    """Whether no packet went from one home to the other."""
    homes = lab["alice"].seen_as, lab["bob"].seen_as
    return not {homes, homes[::-1]} & lab["internet"].talked().keys()


def test_somebody_is_away_and_comes_back(met: Town) -> None:
    met.say("alice", "bob", "are you there?", "delivered")
    met.off("bob", signal.SIGKILL)
    for number in range(5):
        sent = met.say("alice", "bob", f"you missed {number}", "stored")
        assert (sent["state"], sent["route"]) == ("stored", "mailbox")
    (reason,) = met.verb("alice", "why", sent["id"])
    assert "2 relays" in reason["reason"]
    met.on("bob")
    met.until_heard("bob", "alice")
    met.say("bob", "alice", "back", "delivered")
    met.agree("alice", "bob")


def test_two_who_are_never_on_together(town: Town) -> None:
    """From the invite on, one goes before the other comes."""
    for relay in RELAYS:
        town.open(relay)
    town.settle("alice", "bob")
    invite = town.invited("alice")
    town.off("alice")
    town.ask("bob", "alice", invite)
    town.off("bob")
    town.on("alice")
    town.until("alice", lambda client: bool(client.call("contacts")))
    for turn in range(2):
        town.say("alice", "bob", f"alice, turn {turn}", "stored")
        town.off("alice")
        town.on("bob")
        town.until_heard("bob", "alice")
        town.say("bob", "alice", f"bob, turn {turn}", "stored")
        town.off("bob")
        town.on("alice")
        town.until_heard("alice", "bob")
    assert never_met(town.lab)
    town.on("bob")
    town.agree("alice", "bob")


def test_a_relay_is_killed_with_mail_in_it(met: Town) -> None:
    met.off("bob")
    met.say("alice", "bob", "at both", "stored")
    met.off("relay1", signal.SIGKILL)
    met.say("alice", "bob", "at the second", "stored")
    met.off("alice")
    met.on("bob")
    met.until_heard("bob", "alice")
    met.say("bob", "alice", "both are here", "stored")
    met.open("relay1")
    met.on("alice")
    met.agree("alice", "bob")


@pytest.mark.parametrize("how", ["frozen", "cut off"])
def test_a_relay_goes_silent_and_comes_back(met: Town, how: str) -> None:
    """It answers nothing, and its connections stay; or nothing comes there any more."""
    frozen, relay = how == "frozen", met.running["relay1"].process
    met.say("alice", "bob", "hello", "delivered")
    if frozen:
        relay.send_signal(signal.SIGSTOP)
    else:
        met.lab.cut("relay1")
    met.say("alice", "bob", "still there?", "delivered")
    met.off("bob")
    met.say("alice", "bob", "asleep?", "stored")
    met.off("alice")
    met.on("bob")
    met.until_heard("bob", "alice")
    if frozen:
        relay.send_signal(signal.SIGCONT)
    else:
        met.lab.mend("relay1")
    met.say("bob", "alice", "awake", "stored")
    met.on("alice")
    met.agree("alice", "bob")


def test_a_home_is_cut_off(met: Town) -> None:
    """Everything to and from Bob's home is lost for a while, in silence, with messages on their way."""
    met.say("alice", "bob", "before", "delivered")
    met.lab.cut("bob")
    for number in range(3):
        met.say("alice", "bob", f"alice meanwhile {number}")
        met.say("bob", "alice", f"bob meanwhile {number}")
    met.until("bob", lambda client: client.call("contacts")[0]["route"] != "circuit")
    met.lab.mend("bob")
    met.say("alice", "bob", "after", "delivered")
    met.agree("alice", "bob")


def test_a_relay_is_restored_from_a_backup(met: Town) -> None:
    """The copy has what was taken long ago, and lacks what came since; the other relay is gone for good."""
    met.off("bob")
    for number in range(3):
        met.say("alice", "bob", f"in the backup {number}", "stored")
    data, backup = met.folder("relay1"), met.folder("backup")
    met.off("relay1")
    shutil.copytree(data, backup, ignore=shutil.ignore_patterns("*.sock"))
    met.open("relay1")
    met.on("bob")
    met.until_heard("bob", "alice")
    met.off("bob")
    met.until_connected("alice")
    for number in range(3):
        met.say("alice", "bob", f"not in the backup {number}", "stored")
    met.off("alice")
    for relay in RELAYS:
        met.off(relay, signal.SIGKILL)
    shutil.rmtree(data)
    shutil.copytree(backup, data)
    met.open("relay1")
    met.on("bob")
    met.on("alice")
    met.say("alice", "bob", "after the restore", "delivered")
    met.agree("alice", "bob")


@pytest.mark.parametrize("lie", LIES)
def test_a_relay_that(town: Town, lie: str) -> None:
    """One relay lies, from the first contact on; the other does not, and they are never on together."""
    town.open("relay1", lie)
    town.open("relay2")
    town.settle("alice", "bob")
    invite = town.invited("alice")
    town.off("alice")
    town.ask("bob", "alice", invite)
    town.off("bob")
    town.on("alice")
    town.until("alice", lambda client: bool(client.call("contacts")))
    town.leave_word("alice", "bob", *(f"alice {number}" for number in range(5)))
    town.off("alice")
    town.on("bob")
    town.until_heard("bob", "alice")
    town.leave_word("bob", "alice", *(f"bob {number}" for number in range(5)))
    town.off("bob")
    town.on("alice")
    town.until_heard("alice", "bob")
    town.leave_word("alice", "bob", *(f"alice again {number}" for number in range(5)))
    town.on("bob")
    town.say("bob", "alice", "both sides are on", "delivered")
    town.agree("alice", "bob")
