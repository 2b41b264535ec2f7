"""A small internet in network namespaces: machines with public addresses, and homes behind routers that hide them.

    relay1 11.0.1.2 ──┐              ┌── 11.0.3.2 router ── 192.168.1.0/24, alice is .2
                      ├── internet ──┤
    relay2 11.0.2.2 ──┘              └── 11.0.4.2 router ── 192.168.1.0/24, bob is .2 too

The internet is one namespace that forwards, and knows no private address. A home's router masquerades, with another
port for every destination unless a test asks for another `Nat`, and drops whatever was not asked for from inside:
nobody outside can begin. The public addresses are global ones (so that nothing here treats them as private), and no
packet leaves the namespaces.

Each lab has namespaces of its own, so several can run at once; they go with it, and with the next lab if this process
was killed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any

from tests.support.processes import Place, Running, place

NEEDS = (
    "the lab needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN, to make network namespaces, "
    "and the commands `ip` (iproute2), `nft` (nftables) and `miniupnpd` (miniupnpd-nftables)"
)

_NAME = "p2pchat-lab-{pid}-{lab}-{machine}"
_LABS = count()

# Which pairs of addresses the packets had that this machine sent, received or forwarded; and which interfaces are cut.
_WATCH = """
table inet watch {
    counter broken { }
    set seen {
        type ipv4_addr . ipv4_addr; size 65535; flags dynamic; counter;
    }
    set cut {
        type ifname;
    }
    chain in {
        type filter hook prerouting priority raw;
        update @seen { ip saddr . ip daddr }
    }
    chain out {
        type filter hook output priority raw;
        update @seen { ip saddr . ip daddr }
    }
    chain through {
        type filter hook forward priority filter;
        iifname @cut drop
        oifname @cut drop
    }
    chain apart {
        type filter hook forward priority filter;
    }
}
"""
_ROUTER = """
table ip router {
    counter refused { }
    chain translate {
        type nat hook postrouting priority srcnat;
    }
    chain through {
        type filter hook forward priority filter; policy drop;
        iifname "lan" accept
        ct state established,related accept
        counter name refused
    }
    chain in {
        type filter hook input priority filter; policy drop;
        iifname != "wan" accept
        ct state established,related accept
        counter name refused
    }
}
"""


# Where miniupnpd writes its rules, under the names that it expects.
_OPENED = """
table inet filter {
    chain prerouting {
        type nat hook prerouting priority dstnat;
        jump prerouting_miniupnpd
    }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
    chain miniupnpd { }
}
insert rule ip router through ct status dnat accept
"""
_MINIUPNPD = """
ext_ifname=wan
listening_ip=lan
enable_upnp={upnp}
enable_natpmp={pcp}
secure_mode=yes
http_port=0
uuid=00000000-0000-0000-0000-000000000001
allow 1024-65535 192.168.1.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


class Nat(StrEnum):
    """How a home's router chooses the port that the internet sees, as a statement of nft. Whatever it chooses, only the
    address and port to which somebody inside has sent gets an answer in (RFC 5382: address and port-dependent
    filtering).

    CONE: the port of the machine inside, for all destinations. SYMMETRIC: another one for every destination.
    """

    CONE = "masquerade"
    SYMMETRIC = "masquerade random,fully-random"


class NoLab(Exception):
    """The lab cannot be made here."""


def _run(*command: str, given: str | None = None) -> str:
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    except OSError as exc:
        raise NoLab(f"{NEEDS}: {exc}") from exc
    if done.returncode != 0:
        raise NoLab(f"{NEEDS}: {' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


@dataclass
class Machine:
    """One namespace. `address`: its own; `seen_as`: what the internet sees it as."""

    namespace: str
    address: str = ""
    seen_as: str = ""

    @property
    def inside(self) -> tuple[str, ...]:
        """The command that runs others on this machine."""
        return ("ip", "netns", "exec", self.namespace)

    def run(self, *command: str, given: str | None = None) -> str:
        """Run a command there to its end; its stdout. Raises NoLab where it fails."""
        return _run(*self.inside, *command, given=given)

    def ip(self, *words: str) -> None:
        """`ip words` there."""
        _run("ip", "-n", self.namespace, *words)

    def pids(self) -> list[int]:
        """What runs there."""
        return [int(pid) for pid in _run("ip", "netns", "pids", self.namespace).split()]

    def talked(self) -> dict[tuple[str, str], int]:
        """(from, to) → how many packets this machine has sent, received or forwarded."""
        (found,) = _named(self.run("nft", "-j", "list", "set", "inet", "watch", "seen"), "set")
        pairs = (one["elem"] for one in found.get("elem", ()))
        return {tuple(one["val"]["concat"]): one["counter"]["packets"] for one in pairs}

    def refused(self) -> int:
        """How many packets this router has turned away."""
        (found,) = _named(self.run("nft", "-j", "list", "counter", "ip", "router", "refused"), "counter")
        packets: int = found["packets"]
        return packets

    def broken(self) -> int:
        """How many connections this machine has answered with a reset because of what they carried."""
        (found,) = _named(self.run("nft", "-j", "list", "counter", "inet", "watch", "broken"), "counter")
        packets: int = found["packets"]
        return packets

    def move(self, address: str) -> None:
        """Give a machine in a home another address of that network; what it had is gone."""
        self.ip("addr", "flush", "dev", "lan")
        self.ip("addr", "add", f"{address}/24", "dev", "lan")
        self.ip("route", "add", "default", "via", "192.168.1.1")
        self.address = address


def _named(text: str, kind: str) -> list[Any]:
    return [one[kind] for one in json.loads(text)["nftables"] if kind in one]


@dataclass
class Lab:
    """The internet, who is on it, and the place where their profiles and the relays' folders are. `going` is what is to
    be undone at the end."""

    place: Place
    going: ExitStack
    machines: dict[str, Machine] = field(default_factory=dict)
    lines: set[str] = field(default_factory=set)
    """Who has a line to the internet."""
    _number: int = field(default_factory=lambda: next(_LABS))
    _uplinks: int = 0

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def internet(self) -> None:
        """What all others are connected to: the first to be made."""
        machine = self._new("internet")
        _forward(machine)
        machine.ip("route", "add", "unreachable", "192.168.0.0/16")

    def public(self, name: str) -> Machine:
        """A machine that everybody can dial."""
        return self._connected(self._new(name), name)

    def home(self, name: str, nat: Nat = Nat.SYMMETRIC) -> Machine:
        """Somebody at home, as 192.168.1.2 behind a router (`router-NAME`)."""
        router = self._connected(self._new(f"router-{name}"), name)
        _forward(router)
        router.run("nft", "-f", "-", given=_ROUTER)
        self.translate(name, nat)
        router.ip("link", "add", "lan", "type", "bridge")
        router.ip("addr", "add", "192.168.1.1/24", "dev", "lan")
        router.ip("link", "set", "lan", "up")
        return self.housemate(name, of=name, number=2)

    def translate(self, name: str, nat: Nat) -> None:
        """Have the router of somebody's home choose ports in this way from now on, for connections that are new."""
        chain = ("ip", "router", "translate")
        router = self[f"router-{name}"]
        router.run("nft", "flush", "chain", *chain)
        router.run("nft", "add", "rule", *chain, "oifname", "wan", nat)

    def opens_ports(self, name: str, *, upnp: bool = False, pcp: bool = False) -> None:
        """Have the router of somebody's home open ports for anyone who asks, with Debian's miniupnpd: by UPnP, or by
        PCP and NAT-PMP.
        """
        if shutil.which("miniupnpd") is None:
            raise NoLab(NEEDS)
        router = self[f"router-{name}"]
        router.run("nft", "-f", "-", given=_OPENED)
        settings = self.place.folder / f"{name}.miniupnpd"
        settings.write_text(_MINIUPNPD.format(upnp=_yes(upnp), pcp=_yes(pcp)))
        command = (*router.inside, "miniupnpd", "-d", "-f", str(settings), "-P", f"{settings}.pid")
        running = Running(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        self.place.started.append(running)
        running.until_said("HTTP listening on port" if upnp else "Listening for NAT-PMP/PCP traffic")

    def opened(self, name: str) -> list[str]:
        """The rules of the ports that the router of somebody's home has opened."""
        said = self[f"router-{name}"].run("nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd")
        return [line.strip() for line in said.splitlines() if "dnat" in line]

    def housemate(self, name: str, *, of: str, number: int) -> Machine:
        """One more machine in a home, as 192.168.1.NUMBER."""
        router, machine = self[f"router-{of}"], self._new(name)
        port = f"port{number}"
        _run(*f"ip link add {port} netns {router.namespace} type veth peer lan netns {machine.namespace}".split())
        router.ip("link", "set", port, "master", "lan")
        router.ip("link", "set", port, "up")
        machine.ip("link", "set", "lan", "up")
        machine.move(f"192.168.1.{number}")
        machine.seen_as = router.seen_as
        return machine

    def switch(self, *names: str) -> None:
        """A switch that is connected to nothing but these machines, which have there only what they give themselves: an
        IPv6 link-local address. Who is not there yet has no other line.
        """
        switch = self._new("switch")
        # Without the kernel's own reports about multicast, so that all there is comes from the machines.
        switch.ip("link", "add", "board", "type", "bridge", "mcast_snooping", "0")
        switch.ip("link", "set", "board", "up")
        for name in names:
            machine = self.machines.get(name) or self._new(name)
            _run(*f"ip link add {name} netns {switch.namespace} type veth peer lan netns {machine.namespace}".split())
            switch.ip("link", "set", name, "master", "board")
            switch.ip("link", "set", name, "up")
            machine.ip("link", "set", "lan", "up")

    def cut(self, name: str) -> None:
        """Whatever goes to or comes from somebody over the internet is lost in silence."""
        self["internet"].run("nft", "add", "element", "inet", "watch", "cut", f'{{ "{name}" }}')

    def part(self, name: str, other: str) -> None:
        """Whatever the internet carries between these two is lost in silence, as where an address is blocked."""
        for one, far in ((name, other), (other, name)):
            self["internet"].run(*f"nft add rule inet watch apart iifname {one} oifname {far} drop".split())

    def rejoin(self) -> None:
        """End everything that `part` began."""
        self["internet"].run("nft", "flush", "chain", "inet", "watch", "apart")

    def freeze(self, name: str, *most: str) -> None:
        """Every connection over somebody's line is lost in silence once one of these is so: `reply bytes > 15000` of
        what its answering side has sent, `original packets > 25` of what the other has, and the like.
        """
        internet = self["internet"]
        _write_proc(internet, "net/netfilter/nf_conntrack_acct")
        for machine in self.machines.values():
            for line in _lines(machine):  # else a packet would hold up to 64 KiB, and be lost as a whole
                machine.ip(*f"link set dev {line} gso_max_segs 1".split())
        for end in ("iifname", "oifname"):
            for condition in most:
                internet.run(*f"nft add rule inet watch through {end} {name} ct {condition} drop".split())

    def filter(self, name: str, out: str, into: str) -> None:
        """Apply a statement of nft to what goes out over somebody's line, and another to what comes in, as in
        `tcp dport 25 drop`.
        """
        for end, statement in (("iifname", out), ("oifname", into)):
            self["internet"].run(*f"nft add rule inet watch through {end} {name} {statement}".split())

    def reset(self, name: str, *patterns: str) -> None:
        """Answer every TCP packet over somebody's line that has one of these patterns with a reset, each way, and once
        whatever else comes on a connection that is there already.
        """
        for statement in (
            "tcp flags & (syn|ack) == syn ct mark set 1",
            "meta l4proto tcp ct mark != 1 reject with tcp reset",
            *(f"meta l4proto tcp {pattern} counter name broken reject with tcp reset" for pattern in patterns),
        ):
            self.filter(name, statement, statement)

    def publish(self, names: dict[str, str]) -> None:
        """Have all machines that there are know to which addresses these names belong."""
        for machine in self.machines.values():
            folder = Path("/etc/netns", machine.namespace)
            folder.mkdir(parents=True)
            lines = [f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **names}.items()]
            (folder / "hosts").write_text("".join(lines))

    def mend(self, name: str) -> None:
        """End a cut."""
        self["internet"].run("nft", "delete", "element", "inet", "watch", "cut", f'{{ "{name}" }}')

    def _new(self, name: str) -> Machine:
        machine = Machine(_NAME.format(pid=os.getpid(), lab=self._number, machine=name))
        _run("ip", "netns", "add", machine.namespace)
        self.going.callback(_remove, machine)
        self.machines[name] = machine
        self.place.within[name] = machine.inside
        machine.ip("link", "set", "lo", "up")
        machine.run("nft", "-f", "-", given=_WATCH)
        return machine

    def _connected(self, machine: Machine, name: str) -> Machine:
        """Give it a line to the internet, whose end there is called `name`."""
        internet = self["internet"]
        self.lines.add(name)
        self._uplinks += 1
        network = f"11.0.{self._uplinks}"
        _run(*f"ip link add {name} netns {internet.namespace} type veth peer wan netns {machine.namespace}".split())
        internet.ip("addr", "add", f"{network}.1/24", "dev", name)
        internet.ip("link", "set", name, "up")
        machine.ip("addr", "add", f"{network}.2/24", "dev", "wan")
        machine.ip("link", "set", "wan", "up")
        machine.ip("route", "add", "default", "via", f"{network}.1")
        machine.address = machine.seen_as = f"{network}.2"
        return machine


def _yes(on: bool) -> str:
    return "yes" if on else "no"


@contextmanager
def laboratory() -> Iterator[Lab]:
    """Two relays, and Alice and Bob at home; gone afterwards, with all that ran there."""
    with bare() as lab:
        lab.internet()
        for relay in ("relay1", "relay2"):
            lab.public(relay)
        for person in ("alice", "bob"):
            lab.home(person)
        yield lab


@contextmanager
def bare() -> Iterator[Lab]:
    """A lab without anything in it, not even the internet; gone afterwards, as the other one."""
    _remove_leftovers()
    with ExitStack() as going, place() as here:
        yield Lab(here, going)


def _forward(machine: Machine) -> None:
    _write_proc(machine, "net/ipv4/ip_forward")


def _lines(machine: Machine) -> list[str]:
    """Its interfaces but for loopback."""
    links = json.loads(_run("ip", "-json", "-n", machine.namespace, "link"))
    return [link["ifname"] for link in links if link["ifname"] != "lo"]


def _write_proc(machine: Machine, setting: str) -> None:
    switch = f"/proc/sys/{setting}"  # a container may see it read-only, and `ip netns exec` has its own mounts
    machine.run("sh", "-c", f"test -w {switch} || mount -o remount,bind,rw /proc/sys; echo 1 > {switch}")


def _remove(machine: Machine) -> None:
    for pid in machine.pids():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(Path("/etc/netns", machine.namespace), ignore_errors=True)
    _run("ip", "netns", "delete", machine.namespace)


def _remove_leftovers() -> None:
    """Of labs whose process was killed."""
    pattern = re.compile(_NAME.format(pid=r"(\d+)", lab=r"\d+", machine=".*"))
    for line in _run("ip", "netns", "list").splitlines():
        found = pattern.fullmatch(line.split()[0])
        if found and not os.path.exists(f"/proc/{found[1]}"):
            with suppress(NoLab):  # another lab removes it at this moment
                _remove(Machine(found[0]))
