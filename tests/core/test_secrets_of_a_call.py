"""`Secrets` never shows its contents, and redacts texts before they are truncated."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from collections.abc import Callable

import pytest

from texapi_core import CallOptions, Settings, resolve_settings
from texapi_core.call import Call
from texapi_core.failures.secrets import Secrets, secrets_of
from texapi_core.settings import NO_OPTIONS

KEY = "sk-tex-0123456789abcdefghijklmnopqrst"
TOKEN = "a-token-of-one-user"


def settings(**changes: object) -> Settings:
    given: dict[str, object] = {
        "api_key": KEY,
        "base_url": None,
        "timeout": None,
        "max_retries": 2,
        **changes,
    }
    return resolve_settings(**given)  # type: ignore[arg-type] # a test's


def test_headers_of_one_call_are_not_stored() -> None:
    """They may contain the token of one of many users."""
    kept = secrets_of(settings(), NO_OPTIONS)

    one_call = CallOptions(extra_headers={"X-Token": TOKEN})

    assert secrets_of(settings(), one_call).are_in(f"Bad token {TOKEN}.")
    assert secrets_of(settings(), one_call) is not secrets_of(settings(), one_call)
    assert secrets_of(settings(), NO_OPTIONS) is kept


def test_it_prints_as_stars() -> None:
    secrets = Secrets([KEY, TOKEN])

    assert (repr(secrets), str(secrets), f"{secrets}", f"{[secrets]}") == ("***", "***", "***", "[***]")
    with pytest.raises(TypeError):
        json.dumps(secrets)
    assert KEY.encode() not in pickle.dumps(secrets)
    assert not pickle.loads(pickle.dumps(secrets)).are_in(KEY)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_redacts_too(copied: Callable[[Secrets], Secrets]) -> None:
    assert copied(Secrets([KEY])).redact(f"key {KEY}") == "key ***"


def test_it_is_not_in_the_locals_of_a_traceback() -> None:
    call = Call(settings(default_headers={"X-Token": TOKEN}), options=CallOptions(extra_headers={"Y": TOKEN}))

    def fails(call: Call, secrets: Secrets) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        fails(call, call.secrets)

    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "secrets = ***" in shown
    assert KEY not in shown
    assert TOKEN not in shown


@pytest.mark.parametrize("offset", range(260))
def test_truncating_a_text_leaves_no_part_of_a_secret(offset: int) -> None:
    """For every position of the cut."""
    cut = Secrets([KEY]).excerpt("x" * offset + KEY + " and more" * 100)

    assert not any(KEY[start : start + 6] in cut for start in range(len(KEY) - 5))


def test_leading_white_space_does_not_reveal_the_end_of_a_secret() -> None:
    page = b"<html>" + b" " * 750 + KEY.encode() + b"x" * 300

    assert KEY[:6] not in Secrets([KEY]).excerpt(page)
