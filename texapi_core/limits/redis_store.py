"""The state of a limit in Redis: `State.step` as one script, which runs at once and by the clock of Redis."""

from __future__ import annotations

import math
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from texapi_core.limits import state
from texapi_core.limits.plan import Plan
from texapi_core.limits.state import Grant, Seen, Step
from texapi_core.limits.store import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    KEPT_SECONDS,
    LEASE_SECONDS,
    SharedStore,
    limit_row,
)

_SCRIPT = """
local key, seen_processes, calls = KEYS[1], KEYS[2], KEYS[3]
local function argument(i) return tonumber(ARGV[i]) end
local now = argument(2)
if now < 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local process, requests, tokens, returned = ARGV[1], argument(3), argument(4), argument(5)
local settled, answered, refused_epoch = argument(6), argument(7), argument(8)
local refused_wait, held, jitter, is_new = argument(9), argument(10), argument(11), argument(16)
local plan_limit, plan_tokens, max_held = argument(17), argument(18), argument(19)

local s = {}
for i, value in ipairs(redis.call('HMGET', key, unpack(names))) do
  local number, bound = tonumber(value), bounds[i]
  if not (number and number >= bound[1] and number <= bound[2]) then number = bound[3] end
  s[names[i]] = number
end
s.epoch, s.in_vain = math.floor(s.epoch), math.floor(s.in_vain)
if now < s.stepped_at then
  local ahead = s.stepped_at - now
  s.requests_at, s.tokens_at = s.requests_at - ahead, s.tokens_at - ahead
  s.blocked_until, s.lowered_at = s.blocked_until - ahead, s.lowered_at - ahead
end
s.stepped_at = now

for _, gone in ipairs(redis.call('ZRANGEBYSCORE', seen_processes, '-inf', now)) do
  redis.call('ZREM', seen_processes, gone)
  redis.call('HDEL', calls, gone)
end
for _, ahead in ipairs(redis.call('ZRANGEBYSCORE', seen_processes, now + LEASE_SECONDS, '+inf')) do
  redis.call('ZADD', seen_processes, now + LEASE_SECONDS, ahead)
end
redis.call('ZADD', seen_processes, now + LEASE_SECONDS, process)
local others = 0
if max_held > 0 then
  local held_by = redis.call('HGETALL', calls)
  for i = 1, #held_by, 2 do
    local count = tonumber(held_by[i + 1])
    if held_by[i] ~= process and count and count >= 0 and count < 1e9 then others = others + count end
  end
end

local function least(configured, seen)
  if configured > 0 and seen > 0 then return math.min(configured, seen) end
  return configured > 0 and configured or seen
end
if is_new > 0 or (s.limit == 0 and s.token_limit == 0) then
  s.limit, s.token_limit, s.left, s.left_tokens = argument(12), argument(13), argument(14), argument(15)
end
local limit, token_limit = least(plan_limit, s.limit), least(plan_tokens, s.token_limit)
local is_known = limit > 0 or token_limit > 0
if is_known then s.share = math.min(s.share, 1) end
local full = limit > 0 and limit / 60 * USED or (is_known and 0 or START)
local full_tokens = token_limit / 60 * USED
local rate, token_rate = full * s.share, full_tokens * s.share
local most_requests = now + MAX_BLOCKED + (rate > 0 and 1 + 2 / rate or 0)
if not (s.requests_at > 0 and s.requests_at <= most_requests) then s.requests_at = now end
local most_tokens = now + MAX_BLOCKED + (token_rate > 0 and MAX_TOKENS / token_rate or 0)
if not (s.tokens_at > 0 and s.tokens_at <= most_tokens) then s.tokens_at = now end
if s.blocked_until > now + MAX_BLOCKED then s.blocked_until = 0 end
if answered > 0 then s.in_vain, s.has_answers = 0, 1 end
if token_rate > 0 then s.tokens_at = s.tokens_at + settled / token_rate end
if rate > 0 then s.requests_at = s.requests_at - returned / rate end

if refused_epoch >= 0 then
  local wait = refused_wait
  if wait == 0 then wait = math.min(FIRST_BLOCK * 2 ^ s.in_vain, MAX_BLOCK) end
  s.blocked_until = math.max(s.blocked_until, now + wait * (1 + JITTER * jitter))
  s.requests_at = math.max(s.requests_at, s.blocked_until)
  s.tokens_at = math.max(s.tokens_at, s.blocked_until)
  if refused_epoch == s.epoch then
    local seconds = now - s.lowered_at
    local share = (is_known and 0.95 or (s.lowered_to > 0 and 0.85 or 0.5)) * s.share
    if s.lowered_to > 0 and seconds >= MIN_MEASURE then
      local passed = full > 0 and (s.permitted - 1) / seconds / full or 0
      if full_tokens > 0 then passed = math.max(passed, s.permitted_tokens / seconds / full_tokens) end
      share = math.min(share, 0.95 * passed)
    end
    s.share = math.max(share, 0.5 * s.share)
    s.lowered_to, s.lowered_at, s.epoch, s.in_vain = s.share, now, s.epoch + 1, s.in_vain + 1
    s.permitted, s.permitted_tokens = 0, 0
  end
  rate, token_rate = full * s.share, full_tokens * s.share
end

if rate > 0 then s.requests_at = math.max(s.requests_at, now - s.left * BURST / rate) end
if token_rate > 0 then s.tokens_at = math.max(s.tokens_at, now - s.left_tokens * BURST / token_rate) end
local start = math.max(now, s.blocked_until)
if rate > 0 then start = math.max(start, s.requests_at) end
if token_rate > 0 then start = math.max(start, s.tokens_at) end
local wait, all_held = start - now, others + held
local granted = requests > 0 and wait <= HORIZON
if granted and max_held > 0 and all_held + requests > max_held then
  granted, wait = false, math.max(wait, HORIZON / 4)
end
if granted then
  s.permitted, s.permitted_tokens = s.permitted + requests, s.permitted_tokens + tokens
  local seconds = math.max(rate > 0 and requests / rate or 0, token_rate > 0 and tokens / token_rate or 0)
  local latest = math.max(rate > 0 and s.requests_at or 0, token_rate > 0 and s.tokens_at or 0)
  if latest > now - HORIZON - seconds then
    if is_known then
      s.share = math.min(1, s.share + INCREASE * s.lowered_to * seconds)
    elseif s.lowered_to > 0 then
      s.share = s.share + INCREASE * s.lowered_to * seconds
    elseif s.has_answers > 0 then
      s.share = s.share + GROWTH * s.share * seconds
    end
  end
  if rate > 0 then s.requests_at = s.requests_at + requests / rate end
  if token_rate > 0 then s.tokens_at = s.tokens_at + tokens / token_rate end
  all_held, held = all_held + requests, held + requests
end

local function text(number) return string.format('%.17g', number) end
local fields = {'rate', text(rate), 'token_rate', text(token_rate)}
for _, name in ipairs(names) do
  fields[#fields + 1] = name
  fields[#fields + 1] = text(s[name])
end
redis.call('HSET', key, unpack(fields))
redis.call('EXPIRE', key, KEPT_SECONDS)
redis.call('EXPIRE', seen_processes, KEPT_SECONDS)
if max_held > 0 then
  redis.call('HSET', calls, process, held)
  redis.call('EXPIRE', calls, KEPT_SECONDS)
end
return {granted and 1 or 0, text(wait), text(s.epoch), text(math.max(s.blocked_until - now, 0)), text(rate),
  text(token_rate), text(s.share), redis.call('ZCARD', seen_processes), all_held,
  text(s.limit), text(s.token_limit), text(s.left), text(s.left_tokens)}
"""
"""What follows the arguments is `State.step`, in the same order; a test compares them."""
_CONSTANTS = {
    "LEASE_SECONDS": LEASE_SECONDS,
    "KEPT_SECONDS": KEPT_SECONDS,
    **{
        name: getattr(state, name)
        for name in (
            "START",
            "USED",
            "GROWTH",
            "INCREASE",
            "BURST",
            "HORIZON",
            "FIRST_BLOCK",
            "MAX_BLOCK",
            "JITTER",
            "MAX_BLOCKED",
            "MAX_TOKENS",
            "MIN_MEASURE",
        )
    },
}
_NAMES = ", ".join(f"'{name}'" for name in state.BOUNDS)
_BOUNDS = ", ".join(f"{{{least!r}, {most!r}, {other!r}}}" for least, most, other in state.BOUNDS.values())
SCRIPT = (
    "".join(f"local {name} = {value}\n" for name, value in _CONSTANTS.items())
    + f"local names, bounds = {{{_NAMES}}}, {{{_BOUNDS}}}"
    + _SCRIPT
)


_PREFIX, _SUFFIX = "texapi:limits:{", "}:state"


def keys_of(name: str) -> list[str]:
    """The keys of a limit; the braces put them on one node of a cluster."""
    return [f"{_PREFIX}{name}}}:{part}" for part in ("state", "processes", "calls")]


def read_limits(plan: Plan) -> list[dict[str, Any]]:
    """A row for each limit in a Redis, sorted by name.

    Raises:
        ConnectionError: Redis does not answer.
    """
    client = client_of(plan)
    try:
        seconds, microseconds = client.time()
        found = [key.decode() for key in client.scan_iter(f"{_PREFIX}*{_SUFFIX}", count=1000)]
        names = sorted(key[len(_PREFIX) : -len(_SUFFIX)] for key in found)
        return [_row(client, name, seconds + microseconds / 1e6) for name in names]
    except redis.RedisError as error:
        raise ConnectionError(type(error).__name__) from None
    finally:
        client.close()


def _row(client: Any, name: str, now: float) -> dict[str, Any]:
    state_key, processes, calls = keys_of(name)
    state = {field.decode(): _float(value) for field, value in client.hgetall(state_key).items()}
    alive = client.zrangebyscore(processes, now, "+inf")
    held = [count for count in client.hmget(calls, alive) if count] if alive else []
    return limit_row(name, state, now, len(alive), sum(map(int, held)) if held else None)


def _float(text: bytes) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


class RedisStore(SharedStore):
    """Steps in Redis."""

    kind = "Redis"

    def __init__(self, plan: Plan, name: str) -> None:
        super().__init__(plan, name)
        self._keys = keys_of(name)
        self._client = client_of(plan)
        self._script = self._client.register_script(SCRIPT)

    def _open(self) -> None:
        self._client.ping()

    def _close(self) -> None:
        self._client.connection_pool.disconnect()

    def _ask(self, step: Step, now: float | None) -> Grant:
        plan = self._plan
        arguments = (
            self._process,
            -1 if now is None else now,
            step.requests,
            step.tokens,
            step.returned,
            step.settled,
            step.answered,
            step.refused_epoch,
            step.refused_wait,
            step.held,
            step.jitter,
            *step.seen,
            int(step.is_new),
            plan.requests_per_minute or 0,
            plan.tokens_per_minute or 0,
            plan.max_concurrency or 0,
        )
        return grant_of(self._script(keys=self._keys, args=arguments))


open_store = RedisStore


def grant_of(reply: Any) -> Grant:
    """The reply of the script as a `Grant`."""
    granted, wait, epoch, blocked, rate, token_rate, share, processes, held, *seen = reply
    return Grant(
        granted=bool(int(granted)),
        wait=float(wait),
        epoch=int(float(epoch)),
        blocked=float(blocked),
        requests_per_second=float(rate),
        tokens_per_second=float(token_rate),
        share=float(share),
        processes=int(processes),
        held=int(held),
        seen=Seen(*map(float, seen)),
    )


def client_of(plan: Plan) -> Any:
    """A redis-py client that gives up soon."""
    return redis.Redis.from_url(
        plan.url,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 1),
        client_name="texapi-limits",
    )
