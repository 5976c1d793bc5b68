"""Pure tensor functions: boxes and their suppression. Knows no file, no network and no task."""
