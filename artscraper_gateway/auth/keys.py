"""API keys: scopes, rates and ownership of jobs.

No key is needed until the first one is added; from then on every caller needs one, also when all
have been revoked. A key is `ask_<id>_<secret>`: with 256 random bits of secret, one round of
SHA-256 is as safe as a slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from typing import Literal, cast

import sqlalchemy as sa
from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from artscraper_gateway.db.engine import CLOCKS_APART_S, reading
from artscraper_gateway.db.tables import api_keys

Scope = Literal["submit", "read", "delete", "admin"]
SCOPES: tuple[Scope, ...] = ("submit", "read", "delete", "admin")
_LISTED = ", ".join(SCOPES)
_DEFAULT_SCOPES: tuple[Scope, ...] = ("submit", "read", "delete")
_TOKEN = re.compile(r"ask_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_SHOWN_ID = re.compile(r"(?:ask_)?([0-9a-f]{16})(?:_.*)?")  # as `keys list` has it, or less
_RATE = re.compile(r"(\d{1,9})/(s|min|h|day)")
_PERIODS_S = {"s": 1.0, "min": 60.0, "h": 3600.0, "day": 86_400.0}
_FRESH_S = 1.0  # a revoked key works for no longer than this
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")


class InvalidKeyOption(ValueError):
    """A name, scope or rate is invalid; the message lists what is valid."""


@dataclass(frozen=True)
class Rate:
    """At most `count` requests in `period_s` seconds."""

    count: int
    period_s: float

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Return the rate that `60/min` means. Raises InvalidKeyOption for other forms."""
        match = _RATE.fullmatch(text)
        if match is None or int(match[1]) < 1:
            raise InvalidKeyOption(
                f"expected a rate such as 60/min (s, min, h or day), found {text!r}"
            )
        return cls(int(match[1]), _PERIODS_S[match[2]])

    def __str__(self) -> str:
        unit = next(name for name, seconds in _PERIODS_S.items() if seconds == self.period_s)
        return f"{self.count}/{unit}"


@dataclass(frozen=True)
class ApiKey:
    """A key as stored. Times are seconds since 1970, UTC."""

    id: str
    name: str
    secret_hash: str
    scopes: frozenset[Scope]
    rate: Rate | None
    max_queued: int | None
    max_priority: int | None
    created_at: float
    revoked_at: float | None


@dataclass(frozen=True)
class RateLimitState:
    """A key's rate after one request.

    `remaining` requests are possible at once; the rate is whole again after `reset_s` seconds.
    `retry_after_s` is more than 0 if this request was one too many.
    """

    rate: Rate
    remaining: int
    reset_s: float
    retry_after_s: float = 0.0


class KeyStore:
    """Reads and writes keys. Every method is one transaction."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def add(
        self,
        name: str,
        *,
        scopes: tuple[str, ...] = _DEFAULT_SCOPES,
        rate: Rate | None = None,
        max_queued: int | None = None,
        max_priority: int | None = None,
    ) -> str:
        """Add a key and return it; it cannot be had again.

        Raises:
            InvalidKeyOption: the name is taken or none; no scope, or an unknown one.
        """
        if _NAME.fullmatch(name) is None:
            raise InvalidKeyOption("expected a name of 1 to 64 letters, digits, spaces and ._-")
        if not scopes:
            raise InvalidKeyOption(f"expected at least one scope, found none; valid: {_LISTED}")
        if unknown := [scope for scope in scopes if scope not in SCOPES]:
            raise InvalidKeyOption(f"unknown scope {unknown[0]!r}; valid: {_LISTED}")
        key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        row = {
            "id": key_id,
            "name": name,
            "secret_hash": _hash(secret),
            "scopes": ",".join(scopes),
            "rate_count": rate.count if rate else None,
            "rate_period_s": rate.period_s if rate else None,
            "max_queued": max_queued,
            "max_priority": max_priority,
            "created_at": time.time(),
        }
        try:
            with self.engine.begin() as connection:
                connection.execute(sa.insert(api_keys), row)
        except sa.exc.IntegrityError as error:
            raise InvalidKeyOption(f"there is a key named {name!r} already") from error
        return f"ask_{key_id}_{secret}"

    def all(self) -> list[ApiKey]:
        """Return all keys, the revoked ones too, the oldest first."""
        with reading(self.engine) as connection:
            rows = connection.execute(sa.select(api_keys).order_by(api_keys.c.created_at))
            return [_key(row) for row in rows]

    def revoke(self, name: str) -> bool:
        """Make a key useless, by its name or by its id as `ask_<id>_...`.

        False if no key matches or it was revoked before.
        """
        key_id = _SHOWN_ID.fullmatch(name)
        return self._revoke(api_keys.c.name == name) or (
            key_id is not None and self._revoke(api_keys.c.id == key_id[1])
        )

    def _revoke(self, which: sa.ColumnElement[bool]) -> bool:
        change = (
            sa.update(api_keys)
            .where(which, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=time.time())
        )
        with self.engine.begin() as connection:
            return connection.execute(change).rowcount == 1

    def consume(self, key: ApiKey, *, now: float, count: int = 1) -> RateLimitState:
        """Count requests or jobs against the key's rate, in all web processes together.

        The generic cell rate algorithm: `rate_until` is when the whole rate is free again, at most
        one period ahead; a later one dates from before the clock was set back.
        """
        rate = cast(Rate, key.rate)
        each_s = rate.period_s / rate.count
        cost_s = count * each_s
        column = api_keys.c.rate_until
        latest = now + rate.period_s + CLOCKS_APART_S
        begin = sa.case((column.between(now, latest), column), else_=sa.literal(now))
        spend = (
            sa.update(api_keys)
            .where(api_keys.c.id == key.id, begin + cost_s <= now + rate.period_s + 1e-9)
            .values(rate_until=begin + cost_s)
            .returning(column)
        )
        with self.engine.begin() as connection:
            until = connection.execute(spend).scalar_one_or_none()
            if until is not None:
                left_s = rate.period_s - (until - now)
                return RateLimitState(rate, int(left_s / each_s + 1e-6), until - now)
            query = sa.select(column).where(api_keys.c.id == key.id)
            until = connection.execute(query).scalar_one()
        return RateLimitState(rate, 0, until - now, until + cost_s - now - rate.period_s)


class Keyring:
    """This web process's copy of the keys, at most a second old.

    During an outage of the database the last copy is used: /metrics needs nothing else, and other
    requests fail without the database. No key can be revoked during an outage.
    """

    def __init__(self, store: KeyStore) -> None:
        self.store = store
        self._keys: dict[str, ApiKey] | None = None
        self._read_at = float("-inf")
        self._one = CapacityLimiter(1)

    async def load(self) -> None:
        """Read the keys while the database is available; the first request reads them again."""
        await self._refresh()
        self._read_at = float("-inf")

    async def needs_key(self) -> bool:
        """Return whether there are keys: then every caller needs one."""
        await self._refresh()
        return bool(self._keys)

    async def find(self, token: str) -> ApiKey | None:
        """Return the key of `token`, compared in constant time; None if it is invalid."""
        await self._refresh()
        match = _TOKEN.fullmatch(token)
        key = self._keys.get(match[1]) if match and self._keys else None
        expected = key.secret_hash if key else _hash("")
        same = hmac.compare_digest(_hash(match[2] if match else ""), expected)
        return key if key and same and key.revoked_at is None else None

    async def _refresh(self) -> None:
        if time.monotonic() - self._read_at < _FRESH_S:
            return
        async with self._one:
            if time.monotonic() - self._read_at < _FRESH_S:
                return
            begun = time.monotonic()
            try:
                keys = await run_sync(self.store.all)
                self._keys = {key.id: key for key in keys}
            except sa.exc.SQLAlchemyError:
                if self._keys is None:
                    raise
            self._read_at = begun


def without_secret(text: str) -> str:
    """Return a key as `ask_<id>_...`, and other text unchanged."""
    match = _TOKEN.fullmatch(text)
    return f"ask_{match[1]}_..." if match else text


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: sa.Row[tuple[object, ...]]) -> ApiKey:
    columns = {name: row._mapping[name] for name in ApiKey.__dataclass_fields__ if name != "rate"}
    columns["scopes"] = frozenset(columns["scopes"].split(","))
    count, period_s = row._mapping["rate_count"], row._mapping["rate_period_s"]
    return ApiKey(**columns, rate=Rate(count, period_s) if count else None)
