"""Frames to partitions, their order, partitions to shards, and the names of the shards: all as TLT published them."""

import random
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

SEED = 42
SHARD = re.compile(r"(-fold-\d{3}-of-\d{3})?(-shard-\d{5}-of-\d{5})?$")  # what follows the prefix


def split_by_share(frames: Sequence[T], val_split: float) -> list[list[T]]:
    """Mode "random": the first `val_split` percent of the sorted frames are partition 0, the rest partition 1."""
    count = int(val_split / 100.0 * len(frames))
    return [list(frames[:count]), list(frames[count:])]


def split_by_sequence(sequences: Mapping[str, Sequence[T]], num_partitions: int) -> list[list[T]]:
    """Mode "sequence": the longest sequence first, they are dealt out one by one; then the partitions are reversed."""
    partitions: list[list[T]] = [[] for _ in range(max(num_partitions, 1))]
    for turn, name in enumerate(sorted(sequences, key=lambda name: (-len(sequences[name]), name))):
        partitions[turn % len(partitions)].extend(sequences[name])
    return partitions[::-1]


def shuffle(partitions: Sequence[Sequence[T]]) -> list[list[T]]:
    """The order in which they are written: each is shuffled when it is made and once more before it is written."""
    generator = random.Random(SEED)
    shuffled = [list(partition) for partition in partitions]
    for _ in range(2):
        for partition in shuffled:
            generator.shuffle(partition)
    return shuffled


def shard_bounds(count: int, num_shards: int) -> list[tuple[int, int]]:
    """(start, stop) of every shard: count // num_shards each, the last one takes the remainder."""
    shards = max(num_shards, 1)
    size = count // shards
    return [(size * shard, count if shard == shards - 1 else size * (shard + 1)) for shard in range(shards)]


def shard_name(prefix: str, partition: int, num_partitions: int, shard: int, num_shards: int) -> str:
    """`<prefix>-fold-000-of-002-shard-00003-of-00010`; a count of 0 leaves its part out."""
    fold = f"-fold-{partition:03d}-of-{num_partitions:03d}" if num_partitions else ""
    return prefix + fold + (f"-shard-{shard:05d}-of-{num_shards:05d}" if num_shards else "")


def unfinished(prefix_name: str) -> str:
    """Name of the file that stands beside the shards of a prefix while they are put in place."""
    return f".{prefix_name}.unfinished"


def prefix_of(shard_name: str) -> str:
    """What stands before the fold and the number of a shard."""
    return SHARD.sub("", shard_name)
