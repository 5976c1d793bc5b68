"""Properties of the sealed stream: what was written comes back, and nothing else does."""

import io
import random
from pathlib import Path

import pytest

from tltpy.crypto import header as seal
from tltpy.crypto import key as seal_key
from tltpy.crypto.stream import Opener, Sealer, check_key
from tltpy.errors import DamagedFileError, ForeignFileError, TruncatedFileError, WrongKeyError

KEY = "a key"
CHUNK, STEP = 256, 256 + seal.TAG_SIZE


@pytest.fixture(autouse=True)
def _cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal_key, "LOG2_N", 10)
    seal_key.for_writing.cache_clear()


def sealed(plain: bytes, *, log2_chunk: int = 8, pieces: tuple[int, ...] = ()) -> bytes:
    """A sealed file of `plain`, written in pieces of these sizes and a rest."""
    file = io.BytesIO()
    sealer = Sealer(file, key=KEY, kind="weights", task="", stage="float", length=len(plain), log2_chunk=log2_chunk)
    for size in pieces:
        sealer.write(plain[:size])
        plain = plain[size:]
    sealer.write(plain)
    sealer.finish()
    return file.getvalue()


def opened(raw: bytes, path: Path, *, pieces: tuple[int, ...] = (), key: str | None = KEY) -> bytes:
    path.write_bytes(raw)
    with path.open("rb") as file:
        opener = Opener(file, key=key, path=path)
        parts = [bytes(opener.read(size)) for size in pieces]
        parts.append(bytes(opener.read(opener.left)))
        opener.finish()
        return b"".join(parts)


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 511, 512, 513, 2000])
def test_every_length_comes_back(length: int, tmp_path: Path) -> None:
    plain = random.Random(length).randbytes(length)
    raw = sealed(plain)
    assert len(raw) == 160 + length + 16 * max(1, -(-length // CHUNK))
    assert opened(raw, tmp_path / "a") == plain


def test_pieces_of_any_size_make_the_same_stream(tmp_path: Path) -> None:
    rng = random.Random(7)
    for _ in range(40):
        plain = rng.randbytes(rng.randrange(1500, 3000))
        writes, reads = (tuple(rng.choice((0, 1, 17, 255, 256, 257, 600)) for _ in range(2)) for _ in range(2))
        assert opened(sealed(plain, pieces=writes), tmp_path / "a", pieces=reads) == plain


def test_two_files_of_the_same_bytes_share_nothing_but_the_header() -> None:
    one, two = sealed(b"a" * 600), sealed(b"a" * 600)
    assert one[:104] == two[:104]
    assert one[104:120] == two[104:120]  # the salt of this process
    assert one[120:136] != two[120:136]
    assert not {one[i : i + 8] for i in range(160, len(one), 8)} & {two[i : i + 8] for i in range(160, len(two), 8)}


def test_equal_chunks_look_different() -> None:
    raw = sealed(b"a" * 512)
    assert raw[160 : 160 + 256] != raw[160 + STEP : 160 + STEP + 256]


def test_every_byte_of_a_small_file_is_guarded(tmp_path: Path) -> None:
    plain = b"some weights" * 30
    raw = sealed(plain)
    path = tmp_path / "a"
    for at in range(len(raw)):
        expected = ForeignFileError if at < len(seal.MAGIC) else DamagedFileError
        for flips in (1 << at % 8, 0xFF):
            changed = bytearray(raw)
            changed[at] ^= flips
            with pytest.raises((ForeignFileError, DamagedFileError)) as caught:
                opened(bytes(changed), path)
            assert type(caught.value) is expected, f"byte {at}, flipped by {flips}"


def test_every_cut_is_a_truncated_file(tmp_path: Path) -> None:
    raw = sealed(b"some weights" * 25)
    for length in range(1, len(raw)):
        with pytest.raises(TruncatedFileError):
            opened(raw[:length], tmp_path / "a")
    with pytest.raises(ForeignFileError):
        opened(b"", tmp_path / "a")


@pytest.mark.parametrize("extra", [b"\0", b"\0" * 16, b"x" * STEP, b"x" * 5000])
def test_appended_bytes_are_damage(extra: bytes, tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=f"{len(extra)} bytes follow its end"):
        opened(sealed(b"a" * 600) + extra, tmp_path / "a")


def test_chunks_are_neither_moved_nor_taken_from_another_file(tmp_path: Path) -> None:
    raw, other = sealed(bytes(range(256)) * 4), sealed(b"b" * 1024)
    head, chunks = raw[:160], [raw[160 + i * STEP : 160 + (i + 1) * STEP] for i in range(4)]
    foreign = other[160 + STEP : 160 + 2 * STEP]
    for order in (
        [chunks[1], chunks[0], *chunks[2:]],
        [*chunks[:2], chunks[3], chunks[2]],
        [chunks[0], chunks[0], *chunks[2:]],
        [chunks[0], foreign, *chunks[2:]],
    ):
        with pytest.raises(DamagedFileError):
            opened(head + b"".join(order), tmp_path / "a")
    with pytest.raises(DamagedFileError):
        opened(head + b"".join(chunks) + chunks[3], tmp_path / "a")
    for dropped in range(4):
        with pytest.raises(TruncatedFileError):
            opened(head + b"".join(chunks[:dropped] + chunks[dropped + 1 :]), tmp_path / "a")


def test_no_byte_of_a_damaged_chunk_is_given_out(tmp_path: Path) -> None:
    raw = bytearray(sealed(b"a" * 700))
    raw[160 + STEP + 100] ^= 1
    path = tmp_path / "a"
    path.write_bytes(raw)
    with path.open("rb") as file:
        opener = Opener(file, key=KEY, path=path)
        target = bytearray(700)
        with pytest.raises(DamagedFileError, match=r"bytes 432 to 703 are not what was written"):
            opener.read_into(target)
    assert target == b"a" * 256 + bytes(444)


@pytest.mark.parametrize("wrong", ["a kez", "A key", "a key ", "a", "\u00e9", "\udcff"])
def test_another_key_is_a_wrong_key(wrong: str, tmp_path: Path) -> None:
    raw = sealed(b"a" * 600)
    with pytest.raises(WrongKeyError, match="the key does not open this file"):
        opened(raw, tmp_path / "a", key=wrong)
    with (tmp_path / "a").open("rb") as file, pytest.raises(WrongKeyError):
        check_key(file, key=wrong, path="a")


@pytest.mark.parametrize("none", [None, ""])
def test_no_key_is_said_so(none: str | None, tmp_path: Path) -> None:
    with pytest.raises(WrongKeyError, match="a key is needed") as caught:
        opened(sealed(b"a"), tmp_path / "a", key=none)
    assert "-k KEY" in caught.value.hints[0] and "TLT_KEY" in caught.value.hints[0]


def test_a_file_that_shrinks_while_it_is_read_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(sealed(b"a" * 700))
    with path.open("rb", buffering=0) as file:
        opener = Opener(file, key=KEY, path=path)
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(TruncatedFileError, match="ended while it was read"):
            opener.read(700)


def test_header_comes_back_and_bounds_its_texts() -> None:
    header = seal.Header(
        kind="k" * 16, task="t" * 32, stage="", length=2**40, salt=b"s" * 16, seed=b"n" * 16, check=b"c" * 16, log2_n=15
    )
    raw = seal.pack(header)
    assert len(raw) == seal.SIZE
    assert seal._unpack(raw, "a") == header
    with pytest.raises(AssertionError):
        seal.pack(seal.Header(**{**vars(header), "kind": "k" * 17}))


def test_a_payload_of_another_length_than_announced_is_our_bug() -> None:
    for plain, length in ((b"a" * 10, 11), (b"a" * 11, 10), (b"a" * 256, 257), (b"a" * 257, 256), (b"a", 0)):
        sealer = Sealer(io.BytesIO(), key=KEY, kind="", task="", stage="", length=length, log2_chunk=8)
        with pytest.raises(AssertionError):
            sealer.write(plain)
            sealer.finish()
