"""From the user's key to the keys of a file: scrypt (RFC 7914), then HKDF-Expand with SHA-256 (RFC 5869).

Derived keys are kept while the process runs: scrypt is slow on purpose.
"""

import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from tltpy.crypto.header import SCRYPT_P, SCRYPT_R
from tltpy.errors import WrongKeyError

LOG2_N = 15  # 32 MiB, about 100 ms


@dataclass(frozen=True)
class MasterKey:
    """What scrypt makes of the user's key and a salt."""

    salt: bytes
    log2_n: int
    secret: bytes = field(repr=False)

    def check(self) -> bytes:
        """16 bytes that tell whether a key is the right one and nothing more about it."""
        return expand(self.secret, b"tltpy key check", 16)

    def stream_key(self, header: bytes) -> bytes:
        """The key of one file; another header gives another one."""
        return expand(self.secret, b"tltpy stream key" + header, 32)


def required(key: str | None, path: str | Path) -> str:
    """The key itself; WrongKeyError where none was given."""
    if not key:
        raise WrongKeyError(f"{path}: a key is needed for this file", "give -k KEY, -k @FILE or set TLT_KEY")
    return key


@lru_cache(maxsize=64)
def derive(key: str, salt: bytes, log2_n: int) -> MasterKey:
    """The master key that opens a file with this salt and cost."""
    raw = key.encode("utf-8", "surrogateescape")  # bytes of an argument that were no UTF-8 come as surrogates
    return MasterKey(salt, log2_n, scrypt(raw, salt, 1 << log2_n, SCRYPT_R, SCRYPT_P, 32))


@lru_cache(maxsize=64)
def for_writing(key: str) -> MasterKey:
    """The master key of the files that this process seals: one salt a process and key; the seed tells files apart."""
    return derive(key, os.urandom(16), LOG2_N)


def scrypt(key: bytes, salt: bytes, n: int, r: int, p: int, length: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=length, n=n, r=r, p=p).derive(key)


def expand(secret: bytes, info: bytes, length: int) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    return HKDFExpand(SHA256(), length, info).derive(secret)
