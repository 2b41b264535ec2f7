"""ML-KEM-768 a second time, straight from FIPS 203: for tests only, slow and not constant in time.

It checks the library's answers, and its `encapsulate` takes the randomness as an argument, which the library's does
not: so whole conversations can be frozen as vectors.
"""

from __future__ import annotations

import hashlib

Q, N, K, ETA, DU, DV = 3329, 256, 3, 2, 10, 4
Poly = list[int]


def _reversed_bits(number: int) -> int:
    return int(f"{number:07b}"[::-1], 2)


_ZETAS = [pow(17, _reversed_bits(i), Q) for i in range(128)]
_GAMMAS = [pow(17, 2 * _reversed_bits(i) + 1, Q) for i in range(128)]


def _ntt(poly: Poly) -> Poly:
    """FIPS 203, algorithm 9."""
    f, i, length = list(poly), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta, i = _ZETAS[i], i + 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
        length //= 2
    return f


def _back(poly: Poly) -> Poly:
    """Algorithm 10."""
    f, i, length = list(poly), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta, i = _ZETAS[i], i - 1
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, zeta * (f[j + length] - t) % Q
        length *= 2
    return [value * 3303 % Q for value in f]


def _times(a: Poly, b: Poly) -> Poly:
    """Algorithm 11."""
    out: Poly = []
    for i, gamma in enumerate(_GAMMAS):
        a0, a1, b0, b1 = a[2 * i], a[2 * i + 1], b[2 * i], b[2 * i + 1]
        out += [(a0 * b0 + a1 * b1 * gamma) % Q, (a0 * b1 + a1 * b0) % Q]
    return out


def _plus(a: Poly, b: Poly) -> Poly:
    return [(x + y) % Q for x, y in zip(a, b, strict=True)]


def _sum(polys: list[Poly]) -> Poly:
    total = [0] * N
    for poly in polys:
        total = _plus(total, poly)
    return total


def _sample(seed: bytes) -> Poly:
    """Algorithm 7."""
    stream, at = hashlib.shake_128(seed).digest(1680), 0
    out: Poly = []
    while len(out) < N:
        a, b, c = stream[at : at + 3]
        at += 3
        out += [d for d in (a + 256 * (b % 16), b // 16 + 16 * c) if d < Q]
    return out[:N]


def _noise(seed: bytes, number: int) -> Poly:
    """Algorithm 8 with eta 2."""
    bits = int.from_bytes(hashlib.shake_256(seed + bytes([number])).digest(64 * ETA), "little")
    at = [(bits >> (4 * i)) & 15 for i in range(N)]
    return [((b & 1) + (b >> 1 & 1) - (b >> 2 & 1) - (b >> 3)) % Q for b in at]


def _encode(poly: Poly, width: int) -> bytes:
    """Algorithm 5."""
    total = sum(value << (width * i) for i, value in enumerate(poly))
    return total.to_bytes(32 * width, "little")


def _decode(data: bytes, width: int) -> Poly:
    total = int.from_bytes(data, "little")
    return [(total >> (width * i)) & ((1 << width) - 1) for i in range(N)]


def _compress(poly: Poly, width: int) -> Poly:
    return [((value << width) + Q // 2) // Q % (1 << width) for value in poly]


def _matrix(rho: bytes) -> list[list[Poly]]:
    return [[_sample(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


def public_key(seed: bytes) -> bytes:
    """The encapsulation key of the 64-byte seed d || z (algorithms 13 and 16)."""
    hashed = hashlib.sha3_512(seed[:32] + bytes([K])).digest()
    rho, sigma = hashed[:32], hashed[32:]
    matrix = _matrix(rho)
    secret = [_ntt(_noise(sigma, i)) for i in range(K)]
    error = [_ntt(_noise(sigma, K + i)) for i in range(K)]
    t = [_plus(_sum([_times(matrix[i][j], secret[j]) for j in range(K)]), error[i]) for i in range(K)]
    return b"".join(_encode(poly, 12) for poly in t) + rho


def encapsulate(public: bytes, message: bytes) -> tuple[bytes, bytes]:
    """(ciphertext, shared secret) of 32 random bytes (algorithms 14 and 17)."""
    hashed = hashlib.sha3_512(message + hashlib.sha3_256(public).digest()).digest()
    shared, coins = hashed[:32], hashed[32:]
    t, rho = [_decode(public[384 * i : 384 * (i + 1)], 12) for i in range(K)], public[384 * K :]
    matrix = _matrix(rho)
    y = [_ntt(_noise(coins, i)) for i in range(K)]
    u = [_plus(_back(_sum([_times(matrix[j][i], y[j]) for j in range(K)])), _noise(coins, K + i)) for i in range(K)]
    bits = [bit * ((Q + 1) // 2) for bit in _decode(message, 1)]
    v = _plus(_plus(_back(_sum([_times(t[i], y[i]) for i in range(K)])), _noise(coins, 2 * K)), bits)
    ciphertext = b"".join(_encode(_compress(poly, DU), DU) for poly in u) + _encode(_compress(v, DV), DV)
    return ciphertext, shared
