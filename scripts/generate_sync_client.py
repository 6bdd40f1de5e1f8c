"""Generate artscraper_gateway/client/_sync.py from _async.py; with --check only compare."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).resolve().parents[1] / "artscraper_gateway" / "client"
_REPLACEMENTS = (
    (
        r'^""".*?"""',
        '"""The client for scripts and threads; generated from _async.py, not edited."""',
    ),
    (r"^import asyncio\n", ""),
    (
        r"from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence",
        "from collections.abc import Callable, Iterable, Iterator, Sequence",
    ),
    (r"For one event loop\.", "May be shared by threads."),
    (r"Awaitable\[(\w+)\]", r"\1"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsyncGateway\b", "Gateway"),
    (r"\bAsyncClient\b", "Client"),
    (r"await asyncio\.to_thread\(([\w.]+), ", r"\1("),
    (r"asyncio\.sleep", "time.sleep"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"\b(a)(close|read|iter_bytes|iter_sse)\b", r"\2"),
)


def generate() -> str:
    """Return the source of the synchronous client, formatted."""
    text = (CLIENT / "_async.py").read_text()
    for pattern, replacement in _REPLACEMENTS:
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        if not count:
            raise SystemExit(f"_async.py has no {pattern}; remove it from the replacements")
    if left := re.findall(r"\b(?:async|await|asyncio)\b", text):
        raise SystemExit(f"_sync.py would still have {left[0]}; add a replacement")
    ruff = [sys.executable, "-m", "ruff"]
    name = ("--stdin-filename", str(CLIENT / "_sync.py"), "-")
    for command in (["check", "--fix", "--quiet", "--select", "I,RUF"], ["format", "--quiet"]):
        done = subprocess.run(
            [*ruff, *command, *name], input=text, capture_output=True, text=True, check=True
        )
        text = done.stdout
    return text


def main() -> int:
    """Write the file; with --check return 1 if it is not current."""
    text, target = generate(), CLIENT / "_sync.py"
    if "--check" in sys.argv[1:]:
        return 0 if target.read_text() == text else 1
    target.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
