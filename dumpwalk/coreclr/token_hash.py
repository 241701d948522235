"""The bucket of a (MethodTable, token) pair: DispatchCache::HashToken and HashMT.

Source: src/coreclr/vm/virtualcallstub.h (HashToken, HashMT) and virtualcallstub.cpp (tokenHashBits); the 64 values are the
same in every image from 3.1.23 to 10.0.14, Linux and macOS, x64 and arm64 (read in the images).
"""
from __future__ import annotations

BUCKETS = 4096
"""CALL_STUB_CACHE_SIZE: 1 << CALL_STUB_CACHE_NUM_BITS, which is 12 in every version."""

_TOKEN_HASH_BITS = (
    0xcd5, 0x8b9, 0x875, 0x439, 0xbf0, 0x38d, 0xa5b, 0x6a7,
    0x78a, 0x9c8, 0xee2, 0x3d3, 0xd94, 0x54e, 0x698, 0xa6a,
    0x753, 0x932, 0x4b7, 0x155, 0x3a7, 0x9c8, 0x4e9, 0xe0b,
    0xf05, 0x994, 0x472, 0x626, 0x15c, 0x3a8, 0x56e, 0xe2d,
    0xe3c, 0xbe2, 0x58e, 0x0f3, 0x54d, 0x70f, 0xf88, 0xe2b,
    0x353, 0x153, 0x4a5, 0x943, 0xaf2, 0x88f, 0x72e, 0x978,
    0xa13, 0xa0b, 0xc3c, 0xb72, 0x0f7, 0x49a, 0xdd0, 0x366,
    0xd84, 0xba5, 0x4c5, 0x6bc, 0x8ec, 0x0b9, 0x617, 0x85c,
)


def hash_token(token: int) -> int:
    """DispatchCache::HashToken: the entries of the set bits of the 64-bit token, XORed; the low 12 bits count."""
    value = 0
    bit = 0
    while token:
        if token & 1:
            value ^= _TOKEN_HASH_BITS[bit]
        token >>= 1
        bit += 1
        if bit == 64:
            break
    return value & (BUCKETS - 1)


def bucket_of(mt: int, token: int) -> int:
    """DispatchCache::HashMT over HashToken: the bucket, 0 to 4095, in which an element with this key belongs."""
    return ((((mt >> 12) + mt) >> 3) & (BUCKETS - 1)) ^ hash_token(token)
