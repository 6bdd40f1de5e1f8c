"""The command `artscraper`: protect pictures here, or serve and use a gateway."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from artscraper_gateway.cli.main import end_on_sigterm
from artscraper_runner import __version__, set_native_thread_defaults

_LOCAL = {
    "protect": "protect pictures on this machine",
    "watch": "protect every picture that appears in a folder",
    "analyse": "print hashes, metadata and hidden data of a picture",
    "read-watermark": "print the watermarks of pictures",
}
_SERVICE = {
    "serve": "start a gateway: a web page and an HTTP API",
    "worker": "process the jobs of a gateway, on this machine or another one",
    "submit": "protect pictures through a gateway",
    "keys": "add, list and revoke API keys of a gateway",
    "check": "check the settings of a gateway",
}
_EXAMPLES = ("artscraper protect in.jpg -o out.jpg", "artscraper serve")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status, 2 on wrong usage."""
    end_on_sigterm()
    set_native_thread_defaults()
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words[0] if words else ""
    if command in ("--version", "-V"):
        print(f"artscraper {__version__}")
        return 0
    if command in _LOCAL:
        from artscraper_runner import main as run_local

        return run_local(words, prog="artscraper")
    if command in _SERVICE:
        from artscraper_gateway.cli.main import main as run_service

        return run_service(words, prog="artscraper")
    if command in ("", "-h", "--help"):
        print(_usage())
        return 0 if command else 2
    known = ", ".join((*_LOCAL, *_SERVICE))
    print(f"error: unknown command {command!r}; valid: {known}", file=sys.stderr)
    return 2


def _usage() -> str:
    lines = ["usage: artscraper COMMAND [options], artscraper COMMAND --help, artscraper --version"]
    for title, commands in (("on this machine", _LOCAL), ("with a gateway", _SERVICE)):
        lines += ["", f"{title}:"]
        lines += [f"  {name:<16}{description}" for name, description in commands.items()]
    return "\n".join([*lines, "", "examples:", *(f"  {each}" for each in _EXAMPLES)])
