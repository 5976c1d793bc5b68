"""Which training pictures are left out of the shards or written more than once (sample_modifier_config)."""

from collections import Counter
from collections.abc import Iterable
from typing import Any


def copies(class_names: Iterable[str], config: Any) -> int:
    """How many times a training picture with boxes of these classes is written: 0, 1, or 1 + num_duplicates.

    A picture is duplicated when, for one of its classes that is not dominant, the boxes of that class times its
    minimum_target_class_imbalance (1 where not given) outnumber the boxes of all dominant classes.
    """
    mapping = {key.lower(): value.lower() for key, value in config.source_to_target_class_mapping.items()}
    counts = Counter(mapping.get(name.lower(), name.lower()) for name in class_names)
    filtered = {name.lower() for name in config.filter_samples_containing_only}
    if counts and filtered and filtered.issuperset(counts):
        return 0
    if not config.num_duplicates:
        return 1
    dominant = {name.lower() for name in config.dominant_target_classes}
    imbalance = {name.lower(): value for name, value in config.minimum_target_class_imbalance.items()}
    weight = sum(counts[name] for name in dominant)
    prevails = any(count * imbalance.get(name, 1.0) > weight for name, count in counts.items() if name not in dominant)
    return 1 + config.num_duplicates if prevails else 1
