"""What `limits=` may be in both frameworks, and what is refused with a way out."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.rate_limiters import BaseRateLimiter, InMemoryRateLimiter
from llama_index.core.rate_limiter import TokenBucketRateLimiter
from pydantic import SecretStr

import texapi_core
from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from texapi_core.limits.headers import seen_in
from texapi_core.limits.permit import scope_of
from texapi_core.limits.plan import Plan, check_limits, parse_limits
from texapi_core.limits.redis_store import keys_of
from texapi_core.limits.state import Seen

KEY = "sk-tex-test-key-0123456789"
both = pytest.mark.parametrize("make", [ChatTexAPI, TexAPI])


@pytest.mark.parametrize(
    ("limits", "plan"),
    [
        ("auto", Plan("auto")),
        ("auto?requests_per_minute=90.5", Plan("auto", requests_per_minute=90.5)),
        ({}, Plan("auto")),
        ({"tokens_per_minute": 60_000}, Plan("auto", tokens_per_minute=60_000)),
        ("redis://cache:6379/0", Plan("redis://cache:6379/0")),
        (
            "rediss://user:pass@cache/1?name=team+a&max_concurrency=8&ssl_cert_reqs=none",
            Plan("rediss://user:pass@cache/1?ssl_cert_reqs=none", name="team a", max_concurrency=8),
        ),
        (
            {"url": "sqlite:////data/a%20b.db", "requests_per_minute": 600},
            Plan("sqlite:////data/a%20b.db", requests_per_minute=600),
        ),
        (
            "postgresql+psycopg://user:pass@db/usage?sslmode=require&tokens_per_minute=6e4",
            Plan("postgresql://user:pass@db/usage?sslmode=require", tokens_per_minute=60_000),
        ),
        ("postgresql:///usage?host=/run/pg", Plan("postgresql:///usage?host=%2Frun%2Fpg")),
        (
            {"url": "redis://cache?db=2", "requests_per_minute": 600, "name": "a&b"},
            Plan("redis://cache?db=2", name="a&b", requests_per_minute=600),
        ),
    ],
)
def test_forms(limits: Any, plan: Plan) -> None:
    assert parse_limits(check_limits(limits)) == plan


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ("", "is none of them"),
        ("memory", "is none of them"),
        ("http://cache:6379", "is none of them"),
        ("redis://", "is none of them"),
        ("redis://cache:0", "is none of them"),
        ("redis://cache:port", "is none of them"),
        ("sqlite://", "is none of them"),
        ("sqlite:///", "is none of them"),
        ("sqlite://host/file.db", "is none of them"),
        ("sqlite:///folder/", "is none of them"),
        ("sqlite:///file.db?rpm=5", "no parameter `rpm`"),
        ("postgresql:usage", "is none of them"),
        ("postgresql://db/usage?rpm=5", "no parameter `rpm`"),
        (5, "not int"),
        (True, "not bool"),
        ({"url": 5}, "not int"),
        ({"rpm": 600}, "no 'rpm'"),
        ("auto?rpm=600", "no parameter `rpm`"),
        ("auto?db=1", "no parameter `db`"),
        ("auto?requests_per_minute", "is none of them"),
        ("auto?requests_per_minute=0", "`requests_per_minute` of `limits` is a number above 0"),
        ("auto?tokens_per_minute=nan", "`tokens_per_minute`"),
        ("auto?tokens_per_minute=inf", "`tokens_per_minute`"),
        ("auto?max_concurrency=1.5", "`max_concurrency` of `limits` is a whole number above 0"),
        ({"max_concurrency": True}, "`max_concurrency`"),
        ("auto?tokens_per_minute=1e12", "a number above 0 and below 1e\\+12, not '1e12'"),
        ("redis+sentinel://cache", "is none of them"),
        ("redis://cache/abc", "database in the URL of `limits` is a whole number, not 'abc'"),
        ("redis://cache/-1", "is a whole number, not '-1'"),
        ("redis://cache?db=one", "is a whole number, not 'one'"),
        ("rediss://cache?ssl_ca_certs=/none.pem", "`ssl_ca_certs` of `limits` names a file that does not"),
        ("redis://cache/\ud800", "is none of them"),
        ("auto?name=a&name=b", "gives `name` twice"),
        ({"url": "auto?name=a", "name": "b"}, "gives `name` twice"),
        ({"name": "\ud800"}, "`name` of `limits` has 1 to 100 printable"),
        ("auto?name=", "`name`"),
        ("auto?name=a%7Bb", "`name`"),
        ({"name": "x" * 101}, "`name`"),
    ],
)
@both
def test_what_cannot_be_used_is_refused_at_construction(
    make: Callable[..., Any], limits: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(model="m", api_key=KEY, limits=limits)


def test_no_message_quotes_a_password() -> None:
    for limits in ("redis://user:hunter2@cache:0", "redis://user:hunter2@cache?rpm=5"):
        with pytest.raises(texapi_core.TexAPISettingsError) as caught:
            check_limits(limits)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("kind", ["redis", "postgresql"])
def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    parse_limits.cache_clear()
    monkeypatch.setattr("texapi_core.limits.plan.find_spec", lambda name: None)

    with pytest.raises(texapi_core.TexAPISettingsError, match=rf"texapi-integrations\[{kind}\]"):
        check_limits(f"{kind}://cache")
    assert parse_limits("sqlite:///limits.db").kind == "sqlite"


@both
def test_the_environment_sets_it(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert make(model="m", api_key=KEY)._settings().limits is None
    monkeypatch.setenv("TEXAPI_LIMITS", "auto?max_concurrency=3")

    assert make(model="m", api_key=KEY)._settings().limits == "auto?max_concurrency=3"


@both
def test_it_travels_in_a_pickle_and_is_in_no_dump(make: Callable[..., Any]) -> None:
    model = make(model="m", api_key=KEY, limits={"url": "redis://u:hunter2@cache", "name": "a"})

    copied = pickle.loads(pickle.dumps(model))

    assert copied._settings().limits == model._settings().limits == "redis://u:hunter2@cache?name=a"
    assert "hunter2" not in repr(model) + str(model.model_dump()) + repr(model._settings())


def test_the_keys_in_redis_hold_no_secret() -> None:
    name = scope_of(Plan("redis://cache"), "https://gateway.example/v1", KEY)

    assert KEY not in name
    assert "0123456789" not in "".join(keys_of(name))
    assert name != scope_of(Plan("redis://cache"), "https://gateway.example/v1", KEY + "x")
    assert scope_of(Plan("redis://cache", name="team"), "https://gateway.example/v1", KEY) == "team"


@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        ({}, None),
        ({"x-ratelimit-limit-requests": "600"}, Seen(600)),
        ({"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "9"}, Seen(600, 0, 9)),
        (
            {"x-ratelimit-limit-tokens": "60000", "x-ratelimit-remaining-tokens": "70000"},
            Seen(0, 60_000, 0, 60_000),
        ),
        ({"x-ratelimit-limit-requests": "200", "x-ratelimit-reset-requests": "7m12s"}, None),
        ({"x-ratelimit-limit-requests": "200", "x-ratelimit-reset-requests": "1m1.5s"}, Seen(200)),
        ({"x-ratelimit-limit-requests": "200", "x-ratelimit-reset-requests": "1700000000"}, Seen(200)),
        ({"x-ratelimit-limit-requests": "200", "x-ratelimit-reset-requests": "soon"}, Seen(200)),
        *(({"x-ratelimit-limit-requests": text}, None) for text in ("", "nan", "-5", "1e99", "600;w=60")),
    ],
)
def test_limits_in_headers(headers: dict[str, str], seen: Seen | None) -> None:
    """A limit that takes long to refill is one of a day, and sets no rate."""
    assert seen_in(headers) == seen


class PlainLimiter(BaseRateLimiter):
    """A limiter that can be pickled."""

    def acquire(self, *, blocking: bool = True) -> bool:
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return True


@pytest.mark.parametrize(
    "model",
    [
        ChatTexAPI(
            model="m", api_key=SecretStr(KEY), rate_limiter=InMemoryRateLimiter(requests_per_second=1)
        ),
        TexAPI(model="m", api_key=KEY, rate_limiter=TokenBucketRateLimiter(requests_per_minute=1)),
    ],
)
def test_a_model_whose_limiter_cannot_travel_says_so(model: Any) -> None:
    with pytest.raises(TypeError, match=r"Limiter belongs to its process\. Use `limits="):
        pickle.dumps(model)


def test_a_limiter_that_can_be_pickled_travels() -> None:
    model = ChatTexAPI(model="m", api_key=SecretStr(KEY), rate_limiter=PlainLimiter())

    assert type(pickle.loads(pickle.dumps(model)).rate_limiter) is PlainLimiter
