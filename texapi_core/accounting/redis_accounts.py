"""Accounts of budgets in Redis: a step is one script, which runs at once and by the clock of Redis.

Redis keeps an account's sums, its reservations, and what has ended in 1,440 parts of its window, so that it
needs no more for a million calls.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import uuid4

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from texapi_core.accounting.accounts import (
    Account,
    Balance,
    Crossing,
    LastSeen,
    Limit,
    Outcome,
    Reservation,
    Settlement,
    due_warnings,
    limits_of,
    pico,
)
from texapi_core.accounting.record import Spending
from texapi_core.accounting.redis_script import SCRIPT
from texapi_core.accounting.reservation_database import (
    CONNECT_SECONDS,
    EXPIRY_SECONDS,
    Accounts,
)
from texapi_core.accounting.windows import Window, nominal_seconds

PARTS_OF_WINDOW = 1_440
_ANSWER_SECONDS = 2.0
_KNOWN_SECONDS = 600
"""How long it is known that a call has been settled: a script may be sent again."""
_NANO = 1_000
"""10⁻¹² USD."""
_PREFIX = "texapi:budgets:{"
_DAY = 86_400.0

_SUMS = 8
"""Numbers of an account in an answer of the script, before its warnings."""


class RedisAccounts(Accounts):
    """Accounts in Redis, shared by all that use it, or by those with a name.

    A Redis that was emptied is another one: each process carries on what it last saw, and an account that is
    new to Redis begins with the sum of the ledger, if there is one.
    """

    trouble = "Redis cannot be reached or written"
    is_shared = True
    _is_connected = False
    is_in_doubt = False

    def __init__(self, url: str, name: str | None, ledger: Callable[[], Any] | None) -> None:
        self._prefix = _prefix(name)
        self._client = _client(url)
        self._script = self._client.register_script(SCRIPT)
        self._make_ledger = ledger
        self._ledger: Any = None
        self._offset = 0.0
        """Clock of Redis less the monotonic clock, in seconds."""

    def patience(self, error: Exception) -> float:
        """None: redis-py tries again by itself."""
        return 0.0

    def connect(self, until: float, seen: LastSeen) -> None:
        """See whether Redis answers, and what time it has."""
        if not self._is_connected:
            self.is_in_doubt = False
            seconds, microseconds = self._client.time()
            self._offset = seconds + microseconds / 1e6 - time.monotonic()
            self._is_connected = True

    def disconnect(self) -> None:
        """Close the connections to Redis."""
        self._is_connected = False
        with suppress(Exception):
            self._client.connection_pool.disconnect()

    def close(self) -> None:
        """Close the connections to Redis and to the ledger."""
        self.disconnect()
        if self._ledger is not None:
            self._ledger.disconnect()

    def step(
        self,
        settlements: Sequence[Settlement],
        reservation: Reservation | None,
        needed: Spending | None,
        seen: LastSeen,
    ) -> Outcome:
        """Settle and reserve in one script."""
        limits = limits_of(settlements, reservation)
        accounts = {limit.account.name: limit for limit in limits}
        places = {name: place for place, name in enumerate(accounts, 1)}
        work: dict[str, Any] = {
            "candidate": uuid4().hex,
            "expiry": EXPIRY_SECONDS,
            "known": _KNOWN_SECONDS,
            "ended": [_ended(one, places) for one in settlements],
        }
        if reservation and needed:
            work["call"] = _call(reservation, needed, places)
        keys = [f"{self._prefix}store", f"{self._prefix}done"]
        keys += [key for name in accounts for key in _keys(self._prefix, name)]
        in_ledger: dict[str, Spending] = {}
        while True:
            now = datetime.fromtimestamp(time.monotonic() + self._offset, UTC)
            given = [self._given(limit, now, seen, in_ledger) for limit in accounts.values()]
            self.is_in_doubt = True
            argument = json.dumps({**work, "store": seen.store_id, "accounts": given})
            answer: Any = self._script(keys=keys, args=[argument])
            self.is_in_doubt = False
            seen.found(answer[1].decode())
            if answer[0] == b"new":
                for place in answer[2:]:
                    limit = list(accounts.values())[int(place) - 1]
                    in_ledger[limit.account.name] = self._read_ledger(limit.account, now)
            elif answer[0] == b"done":
                break
        self._offset = float(answer[2]) - time.monotonic()
        balances = _balances(accounts, float(answer[2]), answer[4:])
        seen.committed(balances)
        crossings = self._claimed(limits, balances, float(answer[2]))
        if reservation is None:
            return Outcome(None, crossings)
        if refused := int(answer[3]):
            limit = reservation.limits[refused - 1]
            return Outcome((limit, balances[limit.account.name]), crossings)
        return Outcome(balances, crossings)

    def _given(
        self, limit: Limit, now: datetime, seen: LastSeen, in_ledger: Mapping[str, Spending]
    ) -> dict[str, Any]:
        """What the script needs to know of an account; a `cost` below 0 asks for the ledger's sum."""
        account = limit.account
        window, name = account.window, account.name
        start, length = window.start(now), nominal_seconds(window)
        is_calendar, width = window.end(now) is not None, length / PARTS_OF_WINDOW
        carried = seen.carried(limit, start, is_gone=True)
        cost, tokens = (_nano(carried.total_cost), carried.total_tokens) if carried else (0, 0)
        recorded = in_ledger.get(name)
        if recorded is None and self._make_ledger is not None and seen.is_lost(name):
            recorded = self._read_ledger(account, now)
        if recorded is not None:
            cost, tokens = max(cost, _nano_of(recorded)), max(tokens, recorded.tokens)
        elif self._make_ledger is not None:
            cost = -1
        return {
            "since": start.timestamp(),
            "rest": 0 if is_calendar else width,
            "width": width,
            "is_calendar": is_calendar,
            "kept": int(2 * length + _DAY),
            "cost": cost,
            "tokens": tokens,
            "is_lost": seen.is_lost(name),
            "max_cost": "" if limit.max_cost is None else str(limit.max_cost),
            "max_tokens": "" if limit.max_tokens is None else str(limit.max_tokens),
            "warns": bool(limit.warnings),
            "named": {
                "scope": account.scope,
                "value": account.value,
                "window": window.text,
                "timezone": window.timezone,
            },
        }

    def _read_ledger(self, account: Account, now: datetime) -> Spending:
        if self._ledger is None and self._make_ledger is not None:
            self._ledger = self._make_ledger()
            self._ledger.connect().close()
        found: Spending = self._ledger.read_ledger(account, account.window.start(now))
        return found

    def _claimed(
        self, limits: Iterable[Limit], balances: Mapping[str, Balance], now: float
    ) -> list[Crossing]:
        """The warnings that are due and that no other process reports."""
        due = [one for limit in limits for one in due_warnings(limit, balances[limit.account.name])]
        claimed = []
        for one in due:
            warned = _keys(self._prefix, one.limit.account.name)[4]
            with suppress(redis.RedisError):  # the step is done: what fails here is a warning
                if self._client.zadd(warned, {one.mark: now}, nx=True):
                    claimed.append(one)
        return claimed


def _ended(settlement: Settlement, places: Mapping[str, int]) -> dict[str, Any]:
    reservation, parts = settlement.reservation, settlement.parts()
    return {
        "id": reservation.call_id,
        "age": max(time.time() - reservation.started_at, 0.0),
        "cost": sum(_nano(cost) for _, _, cost, _ in parts),
        "tokens": sum(tokens for _, _, _, tokens in parts),
        "accounts": _places(reservation, places),
    }


def _call(reservation: Reservation, needed: Spending, places: Mapping[str, int]) -> dict[str, Any]:
    limits = [
        (
            places[limit.account.name],
            -1 if limit.max_cost is None else limit.max_cost // _NANO,
            -1 if limit.max_tokens is None else limit.max_tokens,
        )
        for limit in reservation.limits
    ]
    return {
        "id": reservation.call_id,
        "cost": _nano_of(needed),
        "tokens": needed.tokens,
        "accounts": _places(reservation, places),
        "limits": limits,
    }


def _places(reservation: Reservation, places: Mapping[str, int]) -> list[int]:
    return sorted({places[limit.account.name] for limit in reservation.limits})


def _balances(accounts: Mapping[str, Limit], now: float, answer: Sequence[Any]) -> dict[str, Balance]:
    balances = {}
    for place, (name, limit) in enumerate(accounts.items()):
        *numbers, warned = answer[place * (_SUMS + 1) : (place + 1) * (_SUMS + 1)]
        since, carried_at, *amounts = map(float, numbers)
        carried, carried_tokens, settled, settled_tokens, reserved, reserved_tokens = map(int, amounts)
        marks = zip(warned[::2], warned[1::2], strict=True)
        balances[name] = Balance(
            account=name,
            since=since,
            read_at=now,
            carried_at=carried_at,
            warned=" ".join(f"{mark.decode()}@{float(moment):.0f}" for mark, moment in marks),
            max_cost=limit.max_cost,
            max_tokens=limit.max_tokens,
            ledger_cost=0,
            ledger_tokens=0,
            carried_cost=carried * _NANO,
            carried_tokens=carried_tokens,
            settled_cost=settled * _NANO,
            settled_tokens=settled_tokens,
            reserved_cost=reserved * _NANO,
            reserved_tokens=reserved_tokens,
        )
    return balances


def _nano(amount: int) -> int:
    """10⁻¹² USD in 10⁻⁹ USD, rounded up."""
    return -(-amount // _NANO)


def _nano_of(spending: Spending) -> int:
    return _nano(pico(spending.cost or Decimal(0)))


def _prefix(name: str | None) -> str:
    """How all keys begin; the braces put them on one node of a cluster."""
    return f"{_PREFIX}{'all' if name is None else f'name={name}'}}}:"


def _keys(prefix: str, account: str) -> list[str]:
    digest = sha256(account.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return [f"{prefix}{digest}:{part}" for part in ("account", "open", "ended", "amounts", "warned")]


def _client(url: str) -> Any:
    return redis.Redis.from_url(
        url,
        socket_timeout=_ANSWER_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 1),
        client_name="texapi-budgets",
    )


@dataclass(frozen=True, slots=True)
class KeptAccount:
    """An account as Redis has it; its pairs are 10⁻¹² USD and tokens."""

    account: Account
    limit: tuple[int | None, int | None]
    spent: tuple[int, int]
    reserved: tuple[int, int]
    of_last_day: tuple[int, int]
    """Ended in the last 24 hours, of this window."""

    def amounts(self) -> dict[str, Any]:
        """The arguments of `budget_lines`."""
        return {
            "account": self.account,
            "limits": self.limit,
            "spent": self.spent,
            "reserved": self.reserved,
            "of_day": self.of_last_day,
        }


def read_accounts(url: str, name: str | None, now: datetime) -> list[KeptAccount]:
    """The accounts in a Redis, in their windows at a time.

    Raises:
        ConnectionError: Redis does not answer.
    """
    client, prefix = _client(url), _prefix(name)
    pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix)
    try:
        keys = sorted(key.decode() for key in client.scan_iter(f"{pattern}*:account", count=1000))
        return [_kept(client, key.removesuffix("account"), now) for key in keys]
    except redis.RedisError as error:
        raise ConnectionError(type(error).__name__) from None
    finally:
        client.close()


def _kept(client: Any, base: str, now: datetime) -> KeptAccount:
    row = {name.decode(): value.decode() for name, value in client.hgetall(f"{base}account").items()}
    window = Window(row["window"], row["timezone"])
    start, moment = window.start(now).timestamp(), now.timestamp()
    rest = 0.0 if window.end(now) is not None else nominal_seconds(window) / PARTS_OF_WINDOW
    amounts = {
        member.decode(): tuple(int(float(one)) for one in value.split())
        for member, value in client.hgetall(f"{base}amounts").items()
    }

    def total(part: str, since: float) -> tuple[int, int]:
        members = client.zrangebyscore(f"{base}{part}", since, "+inf")
        found = [amounts.get(member.decode(), (0, 0)) for member in members]
        return sum(one[0] for one in found) * _NANO, sum(one[1] for one in found)

    cost, tokens = total("ended", start - rest)
    if float(row["carried_at"]) >= start:
        cost += int(float(row["carried_cost"])) * _NANO
        tokens += int(float(row["carried_tokens"]))
    caps = [int(row[name]) if row[name] else None for name in ("max_cost", "max_tokens")]
    return KeptAccount(
        account=Account(row["scope"], row["value"], window),
        limit=(caps[0], caps[1]),
        spent=(cost, tokens),
        reserved=total("open", max(start, moment - EXPIRY_SECONDS)),
        of_last_day=total("ended", max(start, moment - _DAY)),
    )
