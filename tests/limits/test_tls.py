"""Limits in a Redis that is reached over TLS, with a password."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests import texapi_command
from tests.conftest import Endpoint
from tests.limits.redis_server import GIVEN, Server, why_not

PASSWORD = "pass-4f1c77"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca.pem`, which signed the server's certificate, and `other.pem`, which did not."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return folder


@pytest.fixture(scope="module")
def redis_over_tls(folder: Path) -> Iterator[str]:
    if why_not() or GIVEN:
        pytest.skip(why_not() or "the server at REDIS_URL is not ours to start with a certificate")
    pem, authority = str(folder / "server.pem"), str(folder / "ca.pem")
    files = ["--tls-cert-file", pem, "--tls-key-file", pem, "--tls-ca-cert-file", authority]
    server = Server(*files, "--tls-auth-clients", "no", "--requirepass", PASSWORD)
    server.url = server.url.replace("//", f"//:{PASSWORD}@")
    server.start()
    yield server.url
    server.remove()


@pytest.fixture
def limits(redis_over_tls: str, folder: Path) -> str:
    return f"{redis_over_tls}?ssl_ca_certs={folder}/ca.pem&name=over-tls&requests_per_minute=6000"


def test_both_frameworks_share_a_limit_over_tls(
    endpoint: Endpoint, limits: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        ChatTexAPI(model="claude-sonnet-4-6", limits=limits, **endpoint.for_langchain()).invoke("Hi")
        TexAPI(model="claude-sonnet-4-6", limits=limits, **endpoint.for_llama_index()).complete("Hi")

    assert caplog.messages == []
    shown = texapi_command.run(["limits", "--limits", limits, "--json"])
    (row,) = json.loads(shown.stdout)
    assert row["limit"] == "over-tls"
    assert row["stated_requests_per_minute"] == 10_000  # in the headers of the answers


@pytest.mark.combination
def test_a_certificate_that_is_not_trusted_is_one_warning_and_the_call_goes_on(
    endpoint: Endpoint, limits: str, caplog: pytest.LogCaptureFixture
) -> None:
    untrusted = limits.replace("ca.pem", "other.pem")
    with caplog.at_level(logging.WARNING):
        model = ChatTexAPI(model="claude-sonnet-4-6", limits=untrusted, **endpoint.for_langchain())
        answers = [model.invoke("Hi") for _ in range(2)]

    assert all(answer.text for answer in answers)
    # Gates of earlier tests may speak of theirs.
    (warning,) = [message for message in caplog.messages if "CERTIFICATE_VERIFY_FAILED" in message]
    assert "Redis does not answer" in warning
    assert PASSWORD not in caplog.text
    shown = texapi_command.run(["limits", "--limits", untrusted])
    assert shown.exit_code == 3
    assert PASSWORD not in shown.output
