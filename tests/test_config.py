"""Settings are read strictly."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from p2pchat import config, errors
from p2pchat.lib.proxy_address import ProxyAddress


@pytest.mark.parametrize(
    ("text", "transports"),
    [
        ("", ()),
        ('[transports.obfs4]\ncommand = ["obfs4proxy", "-x"]\n', (("obfs4", ("obfs4proxy", "-x")),)),
        ('transports = { a = { command = ["b"] }, c = { command = ["d"] } }\n', (("a", ("b",)), ("c", ("d",)))),
    ],
)
def test_pluggable_transports(tmp_path: Path, text: str, transports: object) -> None:
    (tmp_path / "config.toml").write_text(text)
    assert config.settings(tmp_path).transports == transports
    config.keep_network(tmp_path, lan="off")
    assert config.settings(tmp_path).transports == transports
    assert config.settings(tmp_path).lan == "off"


@pytest.mark.parametrize(
    "text",
    [
        *("transports = 1", "transports = ['a']", "[transports]\nobfs4 = 'obfs4proxy'", "[transports.obfs4]"),
        *(
            "[transports.obfs4]\ncommand = 'a b'",
            "[transports.obfs4]\ncommand = []",
            "[transports.obfs4]\ncommand = ['']",
        ),
        *("[transports.obfs4]\ncommand = ['a']\nmore = 1", "[transports.OBFS4]\ncommand = ['a']"),
        *("[transports.obfs4]\ncommand = [1]", "\n".join(f"[transports.a{n}]\ncommand = ['a']" for n in range(9))),
    ],
)
def test_pluggable_transports_that_cannot_be_meant(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(config.BadConfig, match="transports"):
        config.settings(tmp_path)


def test_without_a_file_there_are_defaults(tmp_path: Path) -> None:
    assert config.settings(tmp_path) == config.Settings()


def test_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('listen = ["/ip4/127.0.0.1/tcp/0"]\nkeep_receiving = true\n')
    assert config.settings(tmp_path) == config.Settings(("/ip4/127.0.0.1/tcp/0",), True)
    (tmp_path / "config.toml").write_text('proxy = "socks5://127.0.0.1:9050"\n')
    assert config.settings(tmp_path) == config.Settings(proxy=ProxyAddress("127.0.0.1", 9050))
    (tmp_path / "config.toml").write_text('passphrase_command = ["pass", "show", "p2pchat"]\n')
    assert config.settings(tmp_path) == config.Settings(passphrase_command=("pass", "show", "p2pchat"))
    (tmp_path / "config.toml").write_text("hops = 2\n")
    assert config.settings(tmp_path) == config.Settings(hops=2)
    (tmp_path / "config.toml").write_text("contact_daily_mib = 0\ncontact_unread_mib = 10\n")
    assert config.settings(tmp_path) == config.Settings(contact_daily_mib=0, contact_unread_mib=10)


@pytest.mark.parametrize(
    "text",
    [
        "listen = 1",
        "listen = [1]",
        "keep_receiving = 1",
        "lisen = []",
        "contact_daily_mib = true",
        'port_mapping = "yes"',
        "contact_unread_mib = -1",
        "proxy = true",
        'passphrase_command = "pass show p2pchat"',
        'passphrase_command = ["pass", 1]',
        'proxy = "http://127.0.0.1:9"',
        'lan = "yes"',
        "lan = []",
        "hops = 3",
        "hops = true",
        'dht = "yes"',
        'dht = "public"',
        "dht_bootstrap = [1]",
        'dht_protocol = "kad"',
        "=\x00",
        "\ud800",
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(config.BadConfig) as caught:
        config.settings(tmp_path)
    assert "config.toml" in caught.value.line()


def test_the_first_line_that_a_command_prints_is_the_passphrase() -> None:
    assert config.passphrase_of(["printf", "%s", "open $HOME \r\nlogin: x\n"]) == "open $HOME "
    for command, why in (
        (["false"], "failed with exit code 1"),
        (["true"], "printed no passphrase"),
        (["/dev/null/x"], "cannot be used: Not a directory"),
        (["printf", "secret\\377"], "is not UTF-8"),
        (["sh", "-c", "kill -INT $PPID; kill -INT $$; echo secret"], "was interrupted"),
    ):
        with pytest.raises(config.BadConfig, match=why) as caught:
            config.passphrase_of(command)
        assert "secret" not in caught.value.line()


@pytest.mark.parametrize(
    "command", [["tail", "-f", "/dev/null"], ["sh", "-c", "exec >/dev/null; exec tail -f /dev/null"]]
)
def test_a_passphrase_command_that_does_not_end_is_ended(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    wait = os.waitpid

    def waited(process: int, options: int) -> tuple[int, int]:
        started.append(process)
        return wait(process, options)

    monkeypatch.setattr(os, "waitpid", waited)
    monkeypatch.setattr(config, "PASSPHRASE_SECONDS", 0.02)
    alarm = signal.getsignal(signal.SIGALRM)
    with pytest.raises(config.BadConfig, match="had not ended after"):
        config.passphrase_of(command)
    assert signal.getsignal(signal.SIGALRM) is alarm
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(started[-1], 0)


def test_a_passphrase_command_that_prints_for_ever_is_ended() -> None:
    with pytest.raises(config.BadConfig, match=f"exit code {-signal.SIGPIPE}"):
        config.passphrase_of(["yes"])


@pytest.mark.parametrize(
    "before",
    ["", "# mine\nlisten = []\n", 'proxy = "socks5://127.0.0.1:1" # Tor\n', "proxy = 'socks5://127.0.0.1:1'\n"],
)
def test_a_proxy_is_kept_and_the_rest_of_the_file_stays(tmp_path: Path, before: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(before)
    config.keep_proxy(tmp_path, "socks5://me:secret@127.0.0.1:9050")
    assert config.settings(tmp_path).proxy == ProxyAddress("127.0.0.1", 9050, "me", "secret")
    kept = [line for line in file.read_text().splitlines(keepends=True) if "proxy" not in line]
    assert "".join(kept) == "".join(line for line in before.splitlines(keepends=True) if "proxy" not in line)
    assert ("# Tor" in file.read_text()) == ("# Tor" in before)
    config.keep_proxy(tmp_path, config.NO_PROXY)
    assert config.settings(tmp_path).proxy is None


def test_when_to_look_on_the_local_network_is_kept(tmp_path: Path) -> None:
    assert config.settings(tmp_path).lan == "auto"
    config.keep_network(tmp_path, lan="off")
    config.keep_proxy(tmp_path, "socks5://127.0.0.1:9050")
    assert config.settings(tmp_path) == config.Settings(proxy=ProxyAddress("127.0.0.1", 9050), lan="off")


def test_whether_a_router_is_asked_is_kept(tmp_path: Path) -> None:
    assert config.settings(tmp_path).port_mapping is True
    for wanted in (False, True):
        config.keep_network(tmp_path, port_mapping=wanted)
        assert config.settings(tmp_path) == config.Settings(port_mapping=wanted)


def test_a_proxy_that_cannot_be_kept_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    odd = 'proxy = """socks5://127.0.0.1:1"""\n'
    file.write_text(odd)
    with pytest.raises(config.BadConfig, match="too complex"):
        config.keep_proxy(tmp_path, "socks5://127.0.0.1:2")
    with pytest.raises(errors.UsageError, match="socks5://"):
        config.keep_proxy(tmp_path, "tor")
    assert file.read_text() == odd
    with pytest.raises(errors.UsageError, match=config.PROXY_VARIABLE):
        config.proxy_of({config.PROXY_VARIABLE: "tor"})
