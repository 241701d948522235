"""The bucket of a (MethodTable, token) pair: DispatchCache::HashToken and HashMT.

Source: src/coreclr/vm/virtualcallstub.h (HashToken, HashMT) and virtualcallstub.cpp (tokenHashBits); the 64 values are the
same in every image from 3.1.23 to 10.0.14, Linux and macOS, x64 and arm64 (read in the images).
"""

from __future__ import annotations

from functools import cache
from typing import Dict, Tuple

BUCKETS = 4096
"""CALL_STUB_CACHE_SIZE: 1 << CALL_STUB_CACHE_NUM_BITS, which is 12 in every version."""

_KEPT = 100_000
_TOKEN_HASH_BITS = (
    0xCD5,
    0x8B9,
    0x875,
    0x439,
    0xBF0,
    0x38D,
    0xA5B,
    0x6A7,
    0x78A,
    0x9C8,
    0xEE2,
    0x3D3,
    0xD94,
    0x54E,
    0x698,
    0xA6A,
    0x753,
    0x932,
    0x4B7,
    0x155,
    0x3A7,
    0x9C8,
    0x4E9,
    0xE0B,
    0xF05,
    0x994,
    0x472,
    0x626,
    0x15C,
    0x3A8,
    0x56E,
    0xE2D,
    0xE3C,
    0xBE2,
    0x58E,
    0x0F3,
    0x54D,
    0x70F,
    0xF88,
    0xE2B,
    0x353,
    0x153,
    0x4A5,
    0x943,
    0xAF2,
    0x88F,
    0x72E,
    0x978,
    0xA13,
    0xA0B,
    0xC3C,
    0xB72,
    0x0F7,
    0x49A,
    0xDD0,
    0x366,
    0xD84,
    0xBA5,
    0x4C5,
    0x6BC,
    0x8EC,
    0x0B9,
    0x617,
    0x85C,
)


@cache
def _byte_tables() -> Tuple[Tuple[int, ...], ...]:
    """For each of a token's 8 bytes, the hash of each of its 256 values: a bit at a time takes five times as long."""
    tables = []
    for first in range(0, 64, 8):
        table = [0] * 256
        for value in range(1, 256):
            lowest = value & -value
            table[value] = table[value ^ lowest] ^ (_TOKEN_HASH_BITS[first + lowest.bit_length() - 1] & (BUCKETS - 1))
        tables.append(tuple(table))
    return tuple(tables)


def hash_token(token: int) -> int:
    """DispatchCache::HashToken: the entries of the set bits of the 64-bit token, XORed; the low 12 bits count."""
    value = 0
    for table in _byte_tables():
        value ^= table[token & 0xFF]
        token >>= 8
        if not token:
            break
    return value


class TokenHashes(Dict[int, int]):
    """hash_token of each token that was asked for; the elements of a cache have few different ones."""

    def __missing__(self, token: int) -> int:
        if len(self) >= _KEPT:
            self.clear()
        value = self[token] = hash_token(token)
        return value


def bucket_of(mt: int, token: int) -> int:
    """DispatchCache::HashMT over HashToken: the bucket, 0 to 4095, in which an element with this key belongs."""
    return ((((mt >> 12) + mt) >> 3) & (BUCKETS - 1)) ^ hash_token(token)
