"""What all tasks with boxes on pictures share: records, readers, conversion, augmentation. Knows no task."""
