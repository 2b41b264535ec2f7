"""Every error of p2pchat, in one tree.

P2PChatError                     exit 1
├── UsageError                   exit 2   the request itself is not valid
│   ├── AmbiguousName · NoSuchContact · NoSuchMember · NoSuchMessage · NoSuchInvite
│   ├── TextTooLong · BadName · BadInvite · BadAddress · BadQuery · NotAFile · NoVoiceNote
│   ├── NotNow
│       ├── PicturesOff · NotAGroup · NotAllowed
├── NotReached                   exit 3   it stays queued; nobody answered in time
├── Locked                       exit 4   the keys are not available
│   ├── WrongPassphrase · ProfileInUse
├── Refused                      exit 5   the other side said no
│   ├── InviteUsed · InviteExpired
├── ProfileError                 exit 1   something about this profile's folder
│   ├── NoProfile · ProfileExists · ProfileGone · WrongKey · DatabaseNewer · DatabaseDamaged · DiskFull ·
│   │   FileDamaged
├── NodeError                    exit 1   the node process or its socket
│   ├── NodeGone · NodeSilent · VersionMismatch · Busy
├── SourceUnreadable             exit 1   a file on this machine that is to be sent
│   ├── SourceChanged
├── MissingPrimitive             exit 1   the installed libraries cannot do what suite 1 needs
├── MediaMissing                 exit 1   what decodes pictures and sounds is not installed, or cannot be confined
├── NoPicture                    exit 1   what was taken for a picture cannot be decoded
├── VoiceMissing · NoSound       exit 1   voice notes need packages, or a sound device, that are not there
└── PeerError                    never shown: what a peer did; stays inside the program
    ├── CannotOpen               bytes from outside that do not decode, verify or decrypt
    ├── LinkLost                 a stream or its connection ended
    └── Unreachable              no address of a peer answered
        └── NotServed            it answered, and does not know the protocol name we asked for

A class's docstring is the sentence that a user reads if the raiser gives no other; `hint` says what to do. `result` is
what was done in spite of the error: a message that was saved, for example, although it was not delivered in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


def sentence(text: str) -> str:
    """Return `text` with a full stop, unless it ends in another sign that ends a sentence."""
    text = text.rstrip(".")
    return text if text.endswith(("?", "!", "…")) else f"{text}."


class P2PChatError(Exception):
    """Something failed."""

    exit_code: ClassVar[int] = 1
    hint: ClassVar[str] = ""

    def __init__(
        self,
        message: str = "",
        *,
        hint: str | None = None,
        candidates: Sequence[str] = (),
        result: Mapping[str, Any] | None = None,
    ) -> None:
        self.message = message or (self.__doc__ or "").strip()
        self.advice = self.hint if hint is None else hint
        self.candidates = tuple(candidates)
        self.result = None if result is None else dict(result)
        super().__init__(self.message)

    def line(self) -> str:
        """The whole error on one line: what happened, then what to do."""
        text = self.message.rstrip(".")
        if self.candidates:
            text += ": " + ", ".join(self.candidates)
        return f"{sentence(text)} {self.advice}".rstrip()


class UsageError(P2PChatError):
    """That command is not valid."""

    exit_code = 2


class AmbiguousName(UsageError):
    """That name matches more than one contact."""

    hint = "Use the id, or a longer part of it."


class NoSuchContact(UsageError):
    """There is no contact with that name or id."""

    hint = "`p2pchat contacts` lists them."


class NoSuchMember(UsageError):
    """The group has no member with that name or id."""

    hint = "`p2pchat group members CHAT` lists them."


class NoSuchMessage(UsageError):
    """There is no message with that id."""

    hint = "`p2pchat log CHAT --json` shows the ids."


class NoSuchInvite(UsageError):
    """There is no invite with that id or label."""

    hint = "`p2pchat invites` lists the invites you made."


class TextTooLong(UsageError):
    """A message can have at most 48,000 bytes of UTF-8."""

    hint = "Send it in parts."


class BadQuery(UsageError):
    """This search cannot be understood."""

    hint = 'Use words, word*, "a phrase", from:NAME, before:DATE, after:DATE and has:link; put anything else in "".'


class BadName(UsageError):
    """A name has 1 to 64 visible characters."""


class BadInvite(UsageError):
    """This is not a complete invite."""

    hint = "Copy it again, from P2PCHAT: to the last character."


class BadAddress(UsageError):
    """That is not an address p2pchat can use."""

    hint = "An address looks like /ip4/127.0.0.1/tcp/4001."


class NotAFile(UsageError):
    """That message is not a file."""

    hint = "`p2pchat files CHAT` lists the files of a chat."


class NotNow(UsageError):
    """That cannot be done in this state."""


class PicturesOff(NotNow):
    """Pictures of this contact are not shown."""

    hint = "Verify the contact, or change it with `p2pchat settings pictures contacts`."


class NotAGroup(NotNow):
    """That chat is not a group."""

    hint = "`p2pchat chats` lists the chats."


class NotAllowed(NotNow):
    """Your role in this group does not allow that."""

    hint = "`p2pchat group members CHAT` shows who has which role."


def nothing_to_lock() -> NotNow:
    """The error for locking a profile that has no passphrase."""
    hint = "Set one with `p2pchat passphrase`; without one, anyone who has the folder can open it."
    return NotNow("This profile has no passphrase, so there is nothing to lock", hint=hint)


class NoVoiceNote(UsageError):
    """That is not a sound that can be a voice note."""

    hint = "It can be a WAV or an Ogg Opus file of at most 15 minutes."


class NotReached(P2PChatError):
    """Nobody answered in time; the message stays queued and is tried again."""

    exit_code = 3
    hint = "Leave the node running, or try again later."


class Locked(P2PChatError):
    """This profile is locked."""

    exit_code = 4
    hint = "Unlock it with `p2pchat unlock`."


class WrongPassphrase(Locked):
    """That passphrase does not open this profile."""

    hint = "Try again; nothing was changed."


class ProfileInUse(Locked):
    """Another node is running on this profile."""

    hint = "Stop it with `p2pchat node stop`."


class Refused(P2PChatError):
    """The other side refused."""

    exit_code = 5


class InviteUsed(Refused):
    """That invite was already used."""

    hint = "Ask for a new one; if you did not use it, it may have leaked."


class InviteExpired(Refused):
    """That invite has expired or was revoked."""

    hint = "Ask for a new one."


class ProfileError(P2PChatError):
    """This profile cannot be used."""


class NoProfile(ProfileError):
    """There is no profile here."""

    hint = "Make one with `p2pchat init --name NAME`."


class ProfileExists(ProfileError):
    """There is a profile there already; it was not changed."""

    hint = "Choose another folder with --profile."


class ProfileGone(ProfileError):
    """The profile was deleted, moved or replaced while its node was running."""

    hint = "The node ends; it has acknowledged nothing that arrived since."


class DatabaseNewer(ProfileError):
    """This profile was written by a newer p2pchat."""

    hint = "Update p2pchat; nothing was changed."


class DatabaseDamaged(ProfileError):
    """The profile's database is damaged."""

    hint = "`p2pchat salvage` saves what can be read; nothing was changed."


class WrongKey(DatabaseDamaged):
    """The profile's key file does not open its database: it belongs to another one, or the database is damaged."""

    hint = "Restore the key file that belongs to it, or the whole folder from a backup; nothing was changed."


class DiskFull(ProfileError):
    """The disk is full; nothing was sent and nothing was lost."""

    hint = "Free some space and try again."


class FileDamaged(ProfileError):
    """A part of a file that is kept in the profile is missing or damaged."""


class SourceUnreadable(P2PChatError):
    """The file cannot be read."""


class SourceChanged(SourceUnreadable):
    """The file was changed."""

    hint = "Send it again."


class NodeError(P2PChatError):
    """The node did not answer as it should."""


class NodeGone(NodeError):
    """The node ended during this request; it may or may not have been carried out."""

    hint = "Check with `p2pchat log` before you try again."


class NodeSilent(NodeError):
    """The node runs but does not answer."""

    hint = "End it with `p2pchat node stop`, then try again."


class VersionMismatch(NodeError):
    """The running node is another version of p2pchat."""

    hint = "Stop it with `p2pchat node stop`, then try again."


class Busy(NodeError):
    """The node is too busy."""

    hint = "Try again in a moment."


class MissingPrimitive(P2PChatError):
    """The installed cryptography library lacks what p2pchat needs."""

    hint = "Install the versions in requirements/run.lock: `make setup`."


class MediaMissing(P2PChatError):
    """What decodes pictures is not installed."""

    hint = "Install it with `make setup`, or with `pipx install '.[pictures]'`."


class NoPicture(P2PChatError):
    """This is no picture that can be decoded here."""


class VoiceMissing(P2PChatError):
    """Voice notes need packages that are not installed."""

    hint = "Install them with: make voice. What you receive can be saved as a file without them."


class NoSound(P2PChatError):
    """There is no microphone or loudspeaker that p2pchat can use."""

    hint = "A recording can be sent with: p2pchat voice CHAT --from FILE."


class PeerError(P2PChatError):
    """A peer broke the protocol."""


class CannotOpen(PeerError):
    """The bytes cannot be decoded, verified or decrypted."""


class LinkLost(PeerError):
    """The link ended."""


class Unreachable(PeerError):
    """No address answered."""


class NotServed(Unreachable):
    """The other side answered but does not serve us."""
