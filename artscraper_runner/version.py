"""The release, as packages, the API and `--version` give it."""

__version__ = "0.1.0"
