"""tltpy takes a vision model through its whole life from the command line; docs/architecture.md is the map."""

__version__ = "0.1.0"
