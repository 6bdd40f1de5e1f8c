"""The release, as packages, the API and `--version` give it."""

__version__ = "0.2.0"
