"""The log: one line an event, as text or as JSON, with the request and the job that it is about.

Whatever a message, an address or a traceback holds: control characters are written as escapes, so
that no line can be forged, and secrets are left out. They are recognised by their form (API keys,
webhook secrets, the query and the password of an address, credentials in headers), or by their
value where a setting holds them.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from artscraper_gateway.db.retry import RepeatFilter

if TYPE_CHECKING:
    from artscraper_gateway.settings.model import GatewayConfig

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_job_id: ContextVar[str] = ContextVar("job_id", default="")
_LEFT_OUT = "***"
_SECRET_FORMS = (
    (re.compile(r"\b(ask_[0-9a-f]{16}_)[\w-]+"), rf"\1{_LEFT_OUT}"),
    (re.compile(r"\bwhsec_[\w+/=-]+"), f"whsec_{_LEFT_OUT}"),
    (re.compile(r"(\w://)[^\s/?#'\"]*@"), rf"\1{_LEFT_OUT}@"),
    (re.compile(r"(\w://[^\s?'\"<>]*\?)[^\s'\"<>]+"), rf"\1{_LEFT_OUT}"),
    (re.compile(r"(?i)((?:x-amz-[a-z-]+|signature|password|token)=)[^&\s'\"]+"), rf"\1{_LEFT_OUT}"),
    (
        re.compile(r"(?i)((?:authorization|x-api-key|cookie)['\"]?\s*[:=,]\s*)[^\r\n]+"),
        rf"\1{_LEFT_OUT}",
    ),
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SECRET_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "OTEL_EXPORTER_OTLP_HEADERS")
_OWN_LOGGERS = ("artscraper_gateway", "artscraper_runner", "uvicorn")
# Messages of the queue, with a traceback, about jobs that were cancelled or deleted.
_LOGGED_BY_THE_WORKER = ("DBOSAwaitedWorkflowCancelledError", "DBOSNonExistentWorkflowError")
_SHORTEST_SECRET = 4  # shorter ones would blot out words


@contextmanager
def log_context(*, request_id: str = "", job_id: str = "") -> Iterator[None]:
    """Name the request, the job, or both in every line that is logged inside the block."""
    tokens = [
        (variable, variable.set(value))
        for variable, value in ((_request_id, request_id), (_job_id, job_id))
        if value
    ]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)


def current_request_id() -> str:
    """Return the id of the request that this is done for; "" for none."""
    return _request_id.get()


class LineFormatter(logging.Formatter):
    """Make one line of each event; `secrets` are values that no line may hold."""

    def __init__(self, *, as_json: bool, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self._as_json = as_json
        self._secrets = sorted((s for s in secrets if len(s) >= _SHORTEST_SECRET), key=len)[::-1]

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._without_secrets(record.getMessage()),
            "request_id": _request_id.get(),
            "job_id": _job_id.get(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = self._without_secrets(self.formatException(record.exc_info))
        fields = {name: value for name, value in fields.items() if value}
        return json.dumps(fields) if self._as_json else _text(fields)

    def _without_secrets(self, text: str) -> str:
        for value in self._secrets:
            text = text.replace(value, _LEFT_OUT)
        for form, replacement in _SECRET_FORMS:
            text = form.sub(replacement, text)
        return text


def set_up_logging(config: GatewayConfig) -> None:
    """Send every event of this process to standard error, as the settings say."""
    handler = logging.StreamHandler()
    secrets = _secrets_of(config)
    handler.setFormatter(LineFormatter(as_json=config.log_format == "json", secrets=secrets))
    # Libraries log warnings only: below that they log headers, addresses, and, as
    # Pillow does, the metadata of pictures.
    logging.basicConfig(level="WARNING", handlers=[handler], force=True)
    for ours in _OWN_LOGGERS:
        logging.getLogger(ours).setLevel(config.log_level.upper())
    queue = logging.getLogger("dbos")  # it would write lines of its own form
    queue.handlers, queue.propagate = [handler], False
    queue.setLevel("WARNING")
    queue.addFilter(_is_news)
    queue.addFilter(RepeatFilter())
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda details: _log_uncaught(
        details.exc_type, details.exc_value or details.exc_type(), details.exc_traceback
    )


def _is_news(record: logging.LogRecord) -> bool:
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__name__ not in _LOGGED_BY_THE_WORKER


def _secrets_of(config: GatewayConfig) -> list[str]:
    secrets = [os.environ.get(name, "") for name in _SECRET_VARIABLES]
    if config.tineye_api_key is not None:
        secrets.append(config.tineye_api_key.get_secret_value())
    if config.database_url is not None:
        address = config.database_url.get_secret_value()
        password = re.match(r"\w+://[^:@/]*:([^@]*)@", address)
        secrets += [address, password[1] if password else ""]
        secrets += re.findall(r"[?&]password=([^&]*)", address)
    return secrets


def _text(fields: dict[str, Any]) -> str:
    line = f"{fields['time']} {fields['level'].upper()} {fields['logger']}: {fields['message']}"
    for name in ("job_id", "request_id", "exception"):
        if name in fields:
            line += f" {name}={fields[name]}"
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), line)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    logging.getLogger(__name__).critical("uncaught", exc_info=(kind, error, trace))
