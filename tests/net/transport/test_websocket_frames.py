"""WebSocket's frames: the specification's examples, and whatever wsproto says, which is the oracle."""

from __future__ import annotations

import random

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong

from p2pchat.net.transport.websocket_frames import BINARY, CLOSE, PING, PONG, BadFrame, Decoder, FramePiece, encode


def decoded(data: bytes, *, masked: bool = True, cut: int = 1 << 20) -> list[FramePiece]:
    """What is in these bytes, coming so many at a time; pieces of one message that follow each other are joined."""
    decoder, found = Decoder(masked=masked), list[FramePiece]()
    for start in range(0, len(data), cut):
        decoder.feed(data[start : start + cut])
        while (piece := decoder.next()) is not None:
            if piece.opcode == BINARY and found and found[-1].opcode == BINARY:
                found[-1] = FramePiece(BINARY, found[-1].data + piece.data)
            else:
                found.append(piece)
    return found


@pytest.mark.parametrize(
    ("data", "masked", "expected"),
    [  # RFC 6455, §5.7, with a binary message where it has a text
        (b"\x82\x05Hello", False, FramePiece(BINARY, b"Hello")),
        (b"\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", True, FramePiece(BINARY, b"Hello")),
        (b"\x02\x03Hel\x80\x02lo", False, FramePiece(BINARY, b"Hello")),
        (b"\x89\x05Hello", False, FramePiece(PING, b"Hello")),
        (b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", True, FramePiece(PONG, b"Hello")),
        (b"\x82\x7e\x01\x00" + bytes(256), False, FramePiece(BINARY, bytes(256))),
        (b"\x82\x7f\0\0\0\0\0\x01\0\0" + bytes(65_536), False, FramePiece(BINARY, bytes(65_536))),
    ],
)
def test_the_specifications_examples(data: bytes, masked: bool, expected: FramePiece) -> None:
    for cut in (1, 2, 3, 7, 1 << 20):
        assert decoded(data, masked=masked, cut=cut) == [expected]


@pytest.mark.parametrize(
    "data",
    [
        b"\x82\x01x",  # a client that does not mask
        b"\x83\x80\0\0\0\0",  # an opcode that there is not
        b"\x81\x81\0\0\0\0x",  # text
        b"\xc2\x80\0\0\0\0",  # a reserved bit
        b"\x80\x80\0\0\0\0",  # the rest of no message
        b"\x02\x81\0\0\0\0x\x82\x81\0\0\0\0x",  # a message inside another
        b"\x02\x80\0\0\0\0",  # an empty frame that ends nothing
        b"\x02\x81\0\0\0\0x\x00\x80\0\0\0\0",  # the same in the middle
        b"\x09\x80\0\0\0\0",  # a ping in pieces
        b"\x89\xfe\x00\x7e\0\0\0\0",  # a ping of 126 bytes
        b"\x88\x81\0\0\0\0x",  # half a reason
        b"\x82\xfe\x00\x7d\0\0\0\0",  # a length that is not the shortest
        b"\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0",
        b"\x82\xff" + b"\xff" * 8 + bytes(4),  # one that there is not
    ],
)
def test_what_is_senseless_ends_it_at_once(data: bytes) -> None:
    for cut in (1, 1 << 20):
        with pytest.raises(BadFrame):
            decoded(data, cut=cut)


def test_nothing_is_kept_of_what_a_frame_announces() -> None:
    decoder = Decoder(masked=True)
    decoder.feed(b"\x82\xff" + (2**62).to_bytes(8, "big") + bytes(4))
    for _ in range(100):
        decoder.feed(bytes(1000))
        assert decoder.next() == FramePiece(BINARY, bytes(1000))
        assert decoder.next() is None
        assert len(decoder._buffer) == 0


def oracle(data: bytes, kind: ConnectionType) -> list[Event] | None:
    """What wsproto makes of it; None for an error."""
    connection = Connection(kind)
    try:
        connection.receive_data(data)
        events = list(connection.events())
    except Exception:  # noqa: BLE001 - it has several, and falls over some bytes
        return None
    # It tells of an error as if the other side had closed for that reason.
    return None if any(isinstance(one, CloseConnection) and one.code not in (1000, 1005) for one in events) else events


def summary(found: list[Event] | list[FramePiece]) -> tuple[bytes, list[tuple[int, bytes]]]:
    """The data, and the control frames up to a goodbye."""
    data, control = b"", list[tuple[int, bytes]]()
    for one in found:
        match one:
            case FramePiece(opcode=opcode, data=piece) if opcode == BINARY:
                data += piece
            case FramePiece(opcode=opcode, data=piece):
                control.append((opcode, piece if opcode != CLOSE else b""))
            case BytesMessage():
                data += bytes(one.data)
            case Ping() | Pong():
                control.append((PING if isinstance(one, Ping) else PONG, bytes(one.payload)))
            case CloseConnection():
                control.append((CLOSE, b""))
        if control and control[-1][0] == CLOSE:
            break
    return data, control


@pytest.mark.parametrize("seed", range(4))
def test_it_agrees_with_wsproto_on_what_is_right_and_on_what_is_wrong(seed: int) -> None:
    """Random frames, some of them damaged, cut anywhere; each side of the connection."""
    chance = random.Random(seed)
    agreed = 0
    for _ in range(300):
        masked = chance.random() < 0.7
        said = bytearray()
        open_message = False
        for _ in range(chance.randrange(1, 6)):
            size = chance.choice([0, 1, 5, 125, 126, 300, 70_000]) if chance.random() < 0.7 else chance.randrange(400)
            opcode = chance.choice([BINARY, BINARY, BINARY, PING, PONG])
            body = chance.randbytes(min(size, 125) if opcode != BINARY else size)
            packed = bytearray(encode(opcode, body, chance.randbytes(4) if masked else b""))
            if opcode == BINARY:
                final = not body or chance.random() < 0.6  # an empty one that ends nothing is refused by ours alone
                packed[0] = (0x80 if final else 0) | (0 if open_message else BINARY)
                open_message = not final
            said += packed
        if chance.random() < 0.3:
            said += encode(CLOSE, b"\x03\xe8", chance.randbytes(4) if masked else b"")
        if chance.random() < 0.4:
            said[chance.randrange(min(len(said), 12))] ^= 1 << chance.randrange(8)
        expected = oracle(bytes(said), ConnectionType.SERVER if masked else ConnectionType.CLIENT)
        try:
            cut = max(chance.choice([1, 3, 1000, 1 << 20]), len(said) // 1000)
            found = decoded(bytes(said), masked=masked, cut=cut)
        except BadFrame:
            found = None
        if expected is None:
            assert found is None or _strange_to_wsproto(bytes(said))
        elif found is not None:
            assert summary(found) == summary(expected)
            agreed += 1
        else:
            assert _refused_by_ours_alone(bytes(said), expected)
    assert agreed > 100


def _strange_to_wsproto(said: bytes) -> bool:
    """Text that is no UTF-8 and reasons of a goodbye that there are not: wsproto looks at them, we at no such thing."""
    return b"\x88" in said


def _refused_by_ours_alone(said: bytes, expected: list[Event]) -> bool:
    """Text, and an empty frame that ends nothing."""
    return any(not isinstance(one, BytesMessage | Ping | Pong | CloseConnection) for one in expected) or any(
        isinstance(one, BytesMessage) and not one.data and not one.message_finished for one in expected
    )


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_001])
@pytest.mark.parametrize("masked", [True, False])
def test_wsproto_reads_what_we_write(size: int, masked: bool) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    kind = ConnectionType.SERVER if masked else ConnectionType.CLIENT
    events = oracle(encode(BINARY, data[:size], b"\x01\x80\xff\x7f" if masked else b""), kind)
    assert events is not None
    assert summary(events) == (data[:size], [])
