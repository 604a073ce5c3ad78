"""`texapi limits`: the state of the limits in a Redis."""

from __future__ import annotations

import json

import pytest

from tests import texapi_command
from tests.limits.redis_server import Server
from texapi_core.limits.plan import parse_limits
from texapi_core.limits.redis_store import RedisStore
from texapi_core.limits.state import Seen, Step

REFUSED_ONCE = {
    "stated_requests_per_minute": 600.0,
    "stated_tokens_per_minute": 60000.0,
    "requests_per_minute": 552.9,
    "tokens_per_minute": 55290.0,
    "share": 0.95,
    "refusals": 1,
    "processes": 1,
    "calls": 1,
}
"""What the command says of a limit that was stated in headers, and then refused one call."""


def run(*arguments: str) -> tuple[int, str, str]:
    result = texapi_command.run(["limits", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_limit_is_a_row(own_redis: Server) -> None:
    plan = parse_limits(own_redis.url + "?max_concurrency=5")
    store = RedisStore(plan, "team")
    store.step(Step(requests=1, seen=Seen(600, 60_000), is_new=True))
    store.step(Step(refused_epoch=0, refused_wait=30, held=1))

    code, printed, _ = run("--limits", own_redis.url, "--format", "json")

    (row,) = json.loads(printed)
    assert code == 0
    assert 0 < row.pop("blocked_seconds") <= 33
    assert row == {"limit": "team", **REFUSED_ONCE}
    code, printed, _ = run("--limits", own_redis.url)
    assert code == 0
    assert "team" in printed


def test_an_empty_redis(own_redis: Server) -> None:
    assert run("--limits", own_redis.url)[:2] == (
        0,
        "No call has used limits there within the last hour.\n",
    )


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("", 2, "Pass --limits"),
        ("auto", 2, "in each process"),
        ("http://cache", 2, "is none of them"),
        ("redis://127.0.0.1:1", 3, "Redis does not answer: ConnectionError"),
    ],
)
def test_what_cannot_be_read_is_one_line(url: str, code: int, message: str) -> None:
    stopped, printed, errors = run("--limits", url)

    assert (stopped, printed) == (code, "")
    assert message in errors
    assert errors.count("\n") == 1
