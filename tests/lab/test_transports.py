"""obfs4, the real one, between people and their relay on a network that breaks every connection it recognises."""

from __future__ import annotations

import json
import shutil

from tests.lab.town import Town
from tests.support.steps import fine, make

WORDS = b"/multistream/1.0"  # as many bytes as nft compares


def test_a_network_that_breaks_what_it_knows_lets_obfs4_through(town: Town) -> None:
    """The relay starts the server of it, and each node the client. Nothing but that reaches the relay."""
    program = shutil.which("obfs4proxy")
    assert program is not None, "install obfs4proxy"
    lab = town.lab
    where = lab["relay1"].address
    settings = lab.place.folder / "relay.toml"
    settings.write_text(f'announce = ["/ip4/{where}/tcp/443/pt/obfs4"]\ntransport = ["{program}"]\n')
    lab.place.within["relay1"] = lab["relay1"].inside
    relay = lab.place.start("relay1", "relay", "--data", str(town.folder("relay1")), "--config", str(settings))
    town.running["relay1"] = relay
    (line,) = relay.hear()["lines"]
    town.honest.add("relay1")
    listening = lab["relay1"].run("ss", "-Hltn").splitlines()
    assert sorted(row.split()[3] for row in listening) == ["*:443", "127.0.0.1:4001"]

    for person in ("alice", "bob"):
        lab.reset(person, f"@ih,8,{8 * len(WORDS)} 0x{WORDS.hex()}")
    make(lab.place, "alice", "bob")
    for person in ("alice", "bob"):
        config = town.folder(person) / "config.toml"
        config.write_text(f'lan = "off"\n[transports.obfs4]\ncommand = ["{program}"]\n')
        town.said[person] = []
        town.on(person)
        fine(lab.place.run(person, "relays", "add", line, "--json"))
    town.befriend("alice", "bob")
    for by, to in (("alice", "bob"), ("bob", "alice")):
        town.say(by, to, f"{by} says hello", "delivered")
    town.off("bob")
    town.say("alice", "bob", "while you are away", "stored")
    town.on("bob")
    town.agree("alice", "bob")

    for person in ("alice", "bob"):
        rows = [row.split() for row in lab[person].run("ss", "-Htn").splitlines()]
        assert {row[4] for row in rows if row[4].startswith(f"{where}:")} == {f"{where}:443"}
        said = [json.loads(row) for row in lab.place.run(person, "doctor", "--json").out.splitlines()]
        assert any("disguised by obfs4" in row["detail"] for row in said)
        assert {row["ok"] for row in said if row["check"] == "transport"} == {True}
