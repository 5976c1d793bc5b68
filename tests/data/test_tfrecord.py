"""TFRecord framing: what is written is read, what is damaged is named, and the tfrecord package agrees."""

import struct
from pathlib import Path

import pytest

from tltpy.data import tfrecord
from tltpy.errors import DataError

PAYLOADS = [b"first", b"", bytes(range(256)) * 3, b"last"]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "new" / "a-shard"
    assert tfrecord.write(path, PAYLOADS) == len(PAYLOADS)
    return path


def test_what_is_written_is_read(shard: Path) -> None:
    assert list(tfrecord.read(shard)) == PAYLOADS
    offsets = tfrecord.read_index(shard)
    assert offsets.tolist() == [0, 21, 37, 821]  # each frame has 16 bytes more than its payload
    assert [tfrecord.read_at(shard, offset, number) for number, offset in enumerate(offsets)][::-1] == PAYLOADS[::-1]


def test_masked_crc_of_the_standard_check_string() -> None:
    # the check value of CRC-32C (iSCSI, RFC 3720) in the catalogue of parametrised CRC algorithms
    crc = 0xE3069283
    assert tfrecord.masked_crc(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_an_empty_file_holds_no_record(tmp_path: Path) -> None:
    assert tfrecord.write(tmp_path / "empty", []) == 0
    assert list(tfrecord.read(tmp_path / "empty")) == []
    assert tfrecord.read_index(tmp_path / "empty").shape == (0,)


def test_every_changed_byte_is_found_and_placed(shard: Path) -> None:
    good = shard.read_bytes()
    starts = tfrecord.read_index(shard).tolist()
    for position in range(0, len(good), 3):
        shard.write_bytes(good[:position] + bytes([good[position] ^ 0x10]) + good[position + 1 :])
        number = max(index for index, start in enumerate(starts) if start <= position)
        with pytest.raises(DataError, match=rf"record {number}\b.* byte {starts[number]}\b") as caught:
            list(tfrecord.read(shard))
        assert caught.value.message.startswith(f"{shard}: ")
        with pytest.raises(DataError, match=rf"record {number}\b"):
            tfrecord.read_at(shard, starts[number], number)


def test_every_cut_is_found(shard: Path) -> None:
    good = shard.read_bytes()
    starts = tfrecord.read_index(shard).tolist()
    for length in range(1, len(good), 5):
        shard.write_bytes(good[:length])
        if length in starts:
            assert list(tfrecord.read(shard)) == PAYLOADS[: starts.index(length)]
            continue
        with pytest.raises(DataError, match="truncated|no TFRecord"):
            list(tfrecord.read(shard))
        with pytest.raises(DataError, match="truncated|no TFRecord"):
            tfrecord.read_index(shard)


@pytest.mark.parametrize("content", [b"abc", b"\x89PNG\r\n\x1a\n" + bytes(40), b'{"a": [1, 2, 3]}' * 5])
def test_another_file_is_no_tfrecord(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(DataError, match="other: no TFRecord file"):
        list(tfrecord.read(tmp_path / "other"))


def test_an_enormous_length_allocates_nothing(tmp_path: Path) -> None:
    length = struct.pack("<Q", 1 << 62)
    path = tmp_path / "big"
    path.write_bytes(length + struct.pack("<I", tfrecord.masked_crc(length)) + b"x")
    with pytest.raises(DataError, match="truncated"):
        list(tfrecord.read(path))


def test_a_failed_write_leaves_the_old_file(shard: Path) -> None:
    def failing() -> "list[bytes]":
        raise DataError("the source broke")

    with pytest.raises(DataError):
        tfrecord.write(shard, (payload for _ in "ab" for payload in failing()))
    assert list(tfrecord.read(shard)) == PAYLOADS
    assert [path.name for path in shard.parent.iterdir()] == [shard.name]


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        tfrecord.read_index(tmp_path / "none")


def test_the_tfrecord_package_agrees(tmp_path: Path) -> None:
    other = pytest.importorskip("tfrecord")
    writer = other.TFRecordWriter(str(tmp_path / "theirs"))
    writer.write({"frame/id": (b"image_2/000001", "byte"), "target/occlusion": ([1, 0, 3], "int")})
    writer.write({"frame/id": (b"image_2/000002", "byte"), "target/truncation": ([0.5], "float")})
    writer.close()
    payloads = list(tfrecord.read(tmp_path / "theirs"))
    assert len(payloads) == 2
    tfrecord.write(tmp_path / "ours", payloads)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    read = list(other.tfrecord_loader(str(tmp_path / "ours"), None))
    assert bytes(read[0]["frame/id"]) == b"image_2/000001"
    assert read[0]["target/occlusion"].tolist() == [1, 0, 3]
