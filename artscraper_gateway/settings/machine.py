"""The name of this machine."""

from __future__ import annotations

import re
import socket

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9-]+")


def machine_name() -> str:
    """Return the host name, which must be unique in a fleet."""
    return _NOT_IN_NAMES.sub("-", socket.gethostname())
