"""Record files, pictures and the loader: knows no task."""
