"""The names libp2p imports for secp256k1 keys, which p2pchat never uses. Using one is an error."""

from __future__ import annotations


def _unavailable() -> NotImplementedError:
    return NotImplementedError("p2pchat installs a stand-in for coincurve: secp256k1 keys are not available")


class PrivateKey:
    """Stands for a private key in annotations; none can be made."""

    def __init__(self, *_: object, **__: object) -> None:
        raise _unavailable()


class PublicKey:
    """Stands for a public key in annotations; none can be made."""

    def __init__(self, *_: object, **__: object) -> None:
        raise _unavailable()
