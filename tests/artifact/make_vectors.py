"""Writes tests/artifact/vectors: sealed files, good and bad, made from the text of tltpy.crypto's docstring.

A second implementation of the format, which shares no line with the first: hashlib, hmac, struct and bare AES-GCM.
Run it (python tests/artifact/make_vectors.py) after a change of the format; test_vectors compares what it gives.
"""

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FOLDER = Path(__file__).parent / "vectors"
KEY = "tlt_encode"
CHUNK, SALT, SEED = 256, bytes(range(16)), bytes(range(100, 116))
Tensor = tuple[str, list[int], bytes]  # dtype, shape, bytes
SMALL: dict[str, Tensor] = {
    "conv.weight": ("F16", [3, 2, 1], bytes.fromhex("003c 00bc 0040 00c0 0038 007c")),
    "steps": ("I64", [], (1234567890123).to_bytes(8, "little")),
    "mask": ("BOOL", [5], b"\1\0\0\1\1"),
    "none": ("F32", [0, 4], b""),
}
METADATA = {"classes": ["car", "bicyclist"], "note": "a caf\u00e9"}


def vectors() -> dict[str, str]:
    """File name -> text of every vector."""
    short, long = payload(SMALL), filled(3 * CHUNK - 10)
    sealed = seal(long)
    found = {
        "opens-one-chunk": good("the smallest case: a chunk that is not full", short, chunk_log2=16),
        "opens-three-chunks": good("two full chunks and a rest", long),
        "opens-full-last-chunk": good("the last chunk is full, and marked", filled(3 * CHUNK)),
        "opens-one-byte-left": good("the last chunk holds one byte", filled(3 * CHUNK + 1)),
        "opens-key-in-utf8": good("a key that is not ASCII", short, key="cl\u00e9"),
        "wrong-key": bad("wrong key", "another key", seal(long), key="tlt_encodf"),
        "wrong-key-check": bad("wrong key", "another key check, checksum mended", mend(sealed, 136, b"\0" * 16)),
        "foreign-text-mode": bad("foreign", "a transfer turned CR LF into LF", sealed.replace(b"\r\n", b"\n", 1)),
        "later-version": bad("later version", "version 2, checksum mended", mend(sealed, 8, b"\2\0")),
    }
    return {f"{name}.txt": text for name, text in (found | _damaged(sealed, long) | _truncated(sealed)).items()}


def _damaged(sealed: bytes, long: bytes) -> dict[str, str]:
    first, second, last = (slice(160 + i * 272, 160 + (i + 1) * 272) for i in range(3))
    head, c0, c1, c2 = sealed[:160], sealed[first], sealed[second], sealed[last]
    shortened = mend(head + c0 + c1, 16, (2 * CHUNK).to_bytes(8, "little"))
    cases = {
        "header-bit": ("one bit of the task", sealed[:45] + bytes([sealed[45] ^ 1]) + sealed[46:]),
        "stage-mended": ("another stage, checksum mended", mend(sealed, 72, b"qat".ljust(32, b"\0"))),
        "kind-mended": ("another kind, checksum mended", mend(sealed, 24, b"checkpoint".ljust(16, b"\0"))),
        "seed-mended": ("another seed, checksum mended", mend(sealed, 120, bytes(16))),
        "body-bit": ("one bit of the second chunk", sealed[:500] + bytes([sealed[500] ^ 128]) + sealed[501:]),
        "tag-bit": ("one bit of the last tag", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        "swapped": ("two chunks in the other order", head + c1 + c0 + c2),
        "repeated": ("the first chunk twice, the second not at all", head + c0 + c0 + c2),
        "inserted": ("the first chunk once more", head + c0 + c0 + c1 + c2),
        "appended": ("one byte more", sealed + b"\0"),
        "shortened-mended": ("the last chunk dropped, length and checksum mended", shortened),
        "no-last-mark": ("the last chunk is not marked", seal(long, last_at=-1)),
        "early-last-mark": ("the mark on the first chunk", seal(long, last_at=0)),
        "scrypt-cost": ("scrypt with N = 2^40, checksum mended", mend(sealed, 10, b"\x28")),
        "scrypt-cost-low": ("scrypt with N = 2, checksum mended", mend(sealed, 10, b"\1")),
        "scrypt-block": ("scrypt with r = 255, checksum mended", mend(sealed, 11, b"\xff")),
        "chunk-size": ("chunks of 2^40 bytes, checksum mended", mend(sealed, 13, b"\x28")),
        "text": ("a task with a control character, checksum mended", mend(sealed, 40, b"\x07")),
        "table-gap": ("right key, but a gap between the tensors", seal(payload(SMALL, gap=1))),
        "table-shape": ("right key, but a shape that its bytes do not fill", seal(payload(SMALL, shape=[2**40, 7]))),
        "table-text": ("right key, but no JSON", seal((3).to_bytes(8, "little") + b"{]}")),
        "table-size": ("right key, but a table longer than the file", seal((2**60).to_bytes(8, "little") + b"{}")),
        "no-table": ("right key, but no payload", seal(b"")),
    }
    return {f"damaged-{name}": bad("damaged", note, raw) for name, (note, raw) in cases.items()}


def _truncated(sealed: bytes) -> dict[str, str]:
    cases = {
        "magic": ("four bytes are left", sealed[:4]),
        "header": ("a part of the header is left", sealed[:100]),
        "no-chunk": ("the header is left", sealed[:160]),
        "chunk-end": ("two chunks of three are left", sealed[: 160 + 2 * 272]),
        "chunk-inside": ("the last byte is missing", sealed[:-1]),
        "dropped": ("the second chunk is missing", sealed[: 160 + 272] + sealed[160 + 2 * 272 :]),
        "endless": ("a length of 2^63 bytes, checksum mended", mend(sealed, 16, (2**63).to_bytes(8, "little"))),
    }
    return {f"truncated-{name}": bad("truncated", note, raw) for name, (note, raw) in cases.items()}


def seal(plain: bytes, *, key: str = KEY, chunk_log2: int = 8, last_at: int | None = None) -> bytes:
    """A sealed file; `last_at` puts the mark of the last chunk on another."""
    master = hashlib.scrypt(key.encode(), salt=SALT, n=1024, r=8, p=1, dklen=32)
    front = b"\x8aTLTPY\r\n" + struct.pack("<HBBBBHQ", 1, 10, 8, 1, chunk_log2, 0, len(plain))
    front += b"weights".ljust(16, b"\0") + b"yolo".ljust(32, b"\0") + b"float".ljust(32, b"\0") + SALT + SEED
    front += expand(master, b"tltpy key check")[:16]
    cipher = AESGCM(expand(master, b"tltpy stream key" + front))
    starts = range(0, max(1, len(plain)), 1 << chunk_log2)
    last_at = len(starts) - 1 if last_at is None else last_at
    chunks = [
        cipher.encrypt(i.to_bytes(11, "big") + bytes([i == last_at]), plain[start : start + (1 << chunk_log2)], None)
        for i, start in enumerate(starts)
    ]
    return front + hashlib.sha256(front).digest()[:8] + b"".join(chunks)


def expand(secret: bytes, info: bytes) -> bytes:
    """The first block of HKDF-Expand."""
    return hmac.new(secret, info + b"\1", hashlib.sha256).digest()


def mend(sealed: bytes, offset: int, new: bytes) -> bytes:
    """Other bytes in the header, and the checksum that they need."""
    front = sealed[:offset] + new + sealed[offset + len(new) : 152]
    return front + hashlib.sha256(front).digest()[:8] + sealed[160:]


def payload(tensors: dict[str, Tensor], *, gap: int = 0, shape: list[int] | None = None) -> bytes:
    """A safetensors file, or one with a fault in its table."""
    table: dict[str, object] = {"__metadata__": {"tltpy": json.dumps(METADATA)}}
    body = b""
    for name in sorted(tensors, key=lambda name: -{"F16": 2, "I64": 8, "F32": 4}.get(tensors[name][0], 1)):
        dtype, size, raw = tensors[name]
        start = len(body) + gap * (name == "mask")
        table[name] = {"dtype": dtype, "shape": shape or size, "data_offsets": [start, start + len(raw)]}
        body += b"\0" * (start - len(body)) + raw
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def filled(length: int) -> bytes:
    """A payload of exactly so many bytes."""
    fillers = (bytes(i % 251 for i in range(count)) for count in range(1, length))
    candidates = (payload({**SMALL, "filler": ("U8", [len(filler)], filler)}) for filler in fillers)
    return next(candidate for candidate in candidates if len(candidate) == length)


def good(note: str, plain: bytes, *, key: str = KEY, chunk_log2: int = 8) -> str:
    size = 8 + int.from_bytes(plain[:8], "little")
    table = json.loads(plain[8:size])
    del table["__metadata__"]
    tensors = {
        name: [entry["dtype"], entry["shape"], plain[size:][slice(*entry["data_offsets"])].hex()]
        for name, entry in table.items()
    }
    sealed = seal(plain, key=key, chunk_log2=chunk_log2)
    step = (1 << chunk_log2) + 16
    tags = [sealed[: 160 + i + step][-16:] for i in range(0, len(sealed) - 160, step)]
    digest = hashlib.sha256(sealed[:160] + b"".join(tags)).hexdigest()
    facts = f"metadata: {json.dumps(METADATA)}\ntensors: {json.dumps(tensors)}\ndigest: {digest}\n"
    return render("opens", note, key, facts, sealed)


def bad(expect: str, note: str, sealed: bytes, key: str = KEY) -> str:
    return render(expect, note, key, "", sealed)


def render(expect: str, note: str, key: str, facts: str, sealed: bytes) -> str:
    body = base64.encodebytes(sealed).decode()
    return f"expect: {expect}\nnote: {note}\nkey: {key}\n{facts}\n{body}"


def parse(text: str) -> tuple[dict[str, str], bytes]:
    """The fields of a vector and the bytes of its file."""
    front, _, body = text.partition("\n\n")
    return dict(line.split(": ", 1) for line in front.splitlines()), base64.b64decode(body)


def main(write: Callable[[Path, str], object] = lambda path, text: path.write_text(text, encoding="utf-8")) -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in vectors().items():
        write(FOLDER / name, text)


if __name__ == "__main__":
    main()
