"""The commands that ask the gateway: `texapi doctor` and `texapi models`."""

from __future__ import annotations

import csv
import io
import json
import ssl
import string
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, get_args

import pytest
import trustme

from tests import texapi_command
from tests.accounting.mixed_run import read_rows
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from texapi_core.accounting.ledger import _writers, flush_ledgers
from texapi_core.cli.doctor import texts as doctor_texts

KEY = "sk-tex-small-server-0123456789"


@pytest.fixture(autouse=True)
def _environment(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The stand-in's key and address, no proxy and an English locale; each test breaks the part it checks."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.setenv(name, "en_US.UTF-8")
    monkeypatch.setenv("TEXAPI_API_KEY", endpoint.api_key)
    monkeypatch.setenv("TEXAPI_BASE_URL", endpoint.base_url)
    monkeypatch.chdir(tmp_path)
    yield
    flush_ledgers()
    _writers.clear()


def texapi(*arguments: str) -> Any:
    return texapi_command.run(arguments)


def doctor(*arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and the findings by name of the check."""
    result = texapi("doctor", "--format", "json", *arguments)
    return result.exit_code, {finding["check"]: finding for finding in json.loads(result.stdout)}


def verdicts(found: dict[str, dict[str, str]]) -> dict[str, str]:
    return {check: finding["verdict"] for check, finding in found.items()}


# A minimal gateway with TLS and an adjustable clock


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ahead: ClassVar[float] = 0.0
    """Seconds by which this server's clock is ahead."""
    models: ClassVar[bytes] = json.dumps({"object": "list", "data": [{"id": "gpt-5-mini"}]}).encode()
    content_type: ClassVar[str] = "application/json"

    def do_GET(self) -> None:
        self._answer(self.models)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        choice = {"index": 0, "message": {"role": "assistant", "content": "OK"}, "finish_reason": "stop"}
        self._answer(json.dumps({"id": "c1", "model": "gpt-5-mini", "choices": [choice]}).encode())

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + self.ahead)

    def log_message(self, *args: Any) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", self.content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that reject the certificate."""


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Start the server at the URL that the doctor checks; over TLS if given a certificate."""
    servers: list[_Server] = []

    def start(certificate: trustme.LeafCert | None = None, *, scheme: str = "", **changes: Any) -> None:
        server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), changes))
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        scheme = scheme or ("https" if certificate else "http")
        monkeypatch.setenv("TEXAPI_BASE_URL", f"{scheme}://127.0.0.1:{server.server_port}/v1")
        monkeypatch.setenv("TEXAPI_API_KEY", KEY)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trustme.CA:
    """A certificate authority that this process trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


# No problems


def test_all_is_well(gateway: Gateway, endpoint: Endpoint) -> None:
    code, found = doctor()

    assert code == 0
    assert verdicts(found) == {
        "key": "ok",
        "address": "ok",
        "dns": "ok",
        "connection": "ok",
        "tls": "ok",
        "clock": "skipped",
        "models": "ok",
        "request": "ok",
    }
    (booked,) = gateway.ledger
    assert booked.model == "deepseek-v3.2"  # the stand-in's cheapest model by the price list
    said = found["request"]["what"]
    assert f"{booked.prompt_tokens} tokens in, {booked.completion_tokens} out" in said
    assert booked.request_id in said
    assert "10 models" in found["models"]["what"]


def test_the_key_is_sent_only_where_it_is_needed(gateway: Gateway) -> None:
    doctor()

    assert ["authorization" in request.headers for request in gateway.requests] == [False, True, True]


def test_a_model_can_be_chosen_and_the_request_left_out(gateway: Gateway) -> None:
    doctor("--model", "gpt-5-mini")
    assert [booked.model for booked in gateway.ledger] == ["gpt-5-mini"]

    code, found = doctor("--no-request")
    assert (code, found["request"]["verdict"]) == (0, "skipped")
    assert len(gateway.ledger) == 1


def test_the_request_is_in_the_ledger(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/usage.db"
    monkeypatch.setenv("TEXAPI_USAGE_LEDGER", url)
    _, before = doctor("--no-request")
    code, found = doctor()

    assert (code, before["ledger"]["verdict"], found["ledger"]["verdict"]) == (0, "ok", "ok")
    assert [row["request_id"] for row in read_rows(url)] == [gateway.ledger[0].request_id]


def test_over_tls_with_a_right_clock(serve: Any, authority: trustme.CA) -> None:
    serve(authority.issue_cert("127.0.0.1"))
    # In a separate process: this one has already loaded its certificates.
    command = [str(Path(sys.executable).parent / "texapi"), "doctor", "--format", "json"]
    result = subprocess.run(command, capture_output=True, text=True)
    found = {finding["check"]: finding for finding in json.loads(result.stdout)}

    assert result.returncode == 0, result.stdout
    assert found["tls"]["verdict"] == found["clock"]["verdict"] == "ok"
    assert "TLSv1" in found["tls"]["what"]
    assert found["request"]["verdict"] == "warning"  # this server reports no usage
    assert "no usage" in found["request"]["what"]


# The key


@pytest.mark.parametrize(
    ("key", "verdict", "said"),
    [
        ("", "fault", "TEXAPI_API_KEY is not set"),
        ('"sk-tex-standin-000000000000"', "fault", "quotation mark"),
        (" ", "fault", "white space"),
        ("Bearer sk-tex-standin-000000000000", "fault", '"Bearer"'),
        ("sk-tex-...", "fault", "placeholder"),
        ("sk-tex-standin 000000000000", "fault", "white space"),
        ("sk-tex-standin-000000000000\n", "fault", "white space"),
        ("sk-tex-stândin-000000000000", "fault", "a character that no key has"),
        ("sk-proj-0123456789abcdefghij", "warning", "does not begin with sk-tex-"),
        ("sk-tex-short", "warning", "12 characters"),
    ],
)
def test_an_invalid_key(
    key: str, verdict: str, said: str, monkeypatch: pytest.MonkeyPatch, gateway: Gateway
) -> None:
    monkeypatch.setenv("TEXAPI_API_KEY", key)
    code, found = doctor()

    assert code == 1
    assert found["key"]["verdict"] == verdict
    assert said in found["key"]["what"]
    assert found["key"]["way_out"]
    assert found["models"]["verdict"] == ("fault" if verdict == "warning" else "skipped")
    assert found["tls"]["verdict"] == "ok"  # checks that need no key still run


def test_a_wrong_key(monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
    monkeypatch.setenv("TEXAPI_API_KEY", "sk-tex-wrong-000000000000")
    code, found = doctor()

    assert code == 1
    assert found["key"]["verdict"] == "ok"
    assert found["models"]["verdict"] == "fault"
    assert "does not accept the key; request id req_" in found["models"]["what"]
    assert found["request"]["verdict"] == "skipped"
    assert not gateway.ledger


@pytest.mark.parametrize("language", ["en", "vi"])
@pytest.mark.parametrize("key", ["sk-tex-wrong-0123456789abcdef", "sk-tex spoilt 0123456789abcdef"])
def test_the_key_is_never_shown(key: str, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_API_KEY", key)
    for form in ("table", "json", "csv"):
        result = texapi("doctor", "--language", language, "--format", form)
        assert key not in result.output
        assert key[:12] not in result.output


# The address


@pytest.mark.parametrize(
    "address",
    ["api.texapi.dev/v1", "https://api.texapi.dev/v1/chat/completions", "https://h/v1?key=hush-hush"],
)
def test_an_invalid_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_BASE_URL", address)
    code, found = doctor()

    assert code == 1
    assert found["address"]["verdict"] == "fault"
    assert "hush-hush" not in str(found)
    assert found["dns"]["verdict"] == found["models"]["verdict"] == "skipped"


@pytest.mark.parametrize(
    "address",
    [
        "https://me:hush-hush@api.texapi.dev/v1",
        "https://me:p?hush-hush@api.texapi.dev/v1",
        "https://api.texapi.dev/v1?key=a@hush-hush",
    ],
)
def test_a_secret_in_the_address_is_not_shown(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_BASE_URL", address)
    code, found = doctor()

    assert (code, found["address"]["verdict"]) == (1, "fault")
    assert "hush-hush" not in str(found)


def test_an_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_BASE_URL", "https://nowhere.invalid/v1")
    code, found = doctor()

    assert (code, found["dns"]["verdict"], found["connection"]["verdict"]) == (1, "fault", "skipped")
    assert "nowhere.invalid cannot be found" in found["dns"]["what"]


def test_a_refused_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_BASE_URL", "http://127.0.0.1:9/v1")
    code, found = doctor()

    assert (code, found["connection"]["verdict"], found["tls"]["verdict"]) == (1, "fault", "skipped")
    assert "127.0.0.1:9 refuses" in found["connection"]["what"]


def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_BASE_URL", "http://api.example.invalid/v1")
    monkeypatch.setenv("http_proxy", "http://me:hush-hush@127.0.0.1:9")
    code, found = doctor()

    assert code == 1
    assert found["dns"] == {
        "check": "dns",
        "verdict": "ok",
        "what": "Requests go through the proxy 127.0.0.1:9, set by HTTP(S)_PROXY.",
        "way_out": "",
    }
    assert found["connection"]["verdict"] == "fault"
    assert "hush-hush" not in str(found)


def test_an_address_that_is_no_gateway(serve: Any) -> None:
    serve(models=b"<!doctype html><title>Hello</title>", content_type="text/html")
    code, found = doctor()

    assert (code, found["tls"]["verdict"], found["models"]["verdict"]) == (1, "ok", "fault")
    assert "does not answer as TexAPI does" in found["models"]["what"]


def test_an_address_without_its_path(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_BASE_URL", gateway.base_url.removesuffix("/v1"))
    code, found = doctor()

    assert (code, found["models"]["verdict"]) == (1, "fault")
    assert "/v1" in found["models"]["way_out"]


# TLS and the clock


def test_https_to_a_port_without_tls(serve: Any) -> None:
    serve(scheme="https")
    code, found = doctor()

    assert (code, found["tls"]["verdict"], found["models"]["verdict"]) == (1, "fault", "skipped")
    assert "does not speak TLS" in found["tls"]["what"]
    assert "http://" in found["tls"]["way_out"]


def test_http_to_a_port_with_tls(serve: Any, authority: trustme.CA) -> None:
    serve(authority.issue_cert("127.0.0.1"), scheme="http")
    code, found = doctor()

    assert (code, found["tls"]["verdict"]) == (1, "fault")
    assert "https://" in found["tls"]["way_out"]


@pytest.mark.parametrize(
    ("names", "lifetime", "said"),
    [
        (["example.org"], {}, "is not for 127.0.0.1"),
        (["127.0.0.1"], {"not_after": 2020}, "has expired, and this computer's clock says 20"),
        (["127.0.0.1"], {"not_before": 2090, "not_after": 2095}, "is not valid yet"),
    ],
)
def test_a_certificate_for_another_host(
    names: list[str], lifetime: dict[str, int], said: str, serve: Any, authority: trustme.CA
) -> None:
    limits: dict[str, Any] = {name: datetime(year, 1, 1) for name, year in lifetime.items()}
    serve(authority.issue_cert(*names, **limits))
    code, found = doctor()

    assert (code, found["tls"]["verdict"]) == (1, "fault")
    assert said in found["tls"]["what"]


def test_a_certificate_of_an_unknown_authority(serve: Any) -> None:
    serve(trustme.CA().issue_cert("127.0.0.1"))
    code, found = doctor()

    assert (code, found["tls"]["verdict"]) == (1, "fault")
    assert "is not trusted" in found["tls"]["what"]
    assert "SSL_CERT_FILE" in found["tls"]["way_out"]


def test_a_missing_certificate_file(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(trustme.CA().issue_cert("127.0.0.1"))
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    code, found = doctor()

    assert (code, found["tls"]["verdict"]) == (1, "fault")
    assert "cannot be read: No such file" in found["tls"]["what"]


@pytest.mark.parametrize(("ahead", "said"), [(3600, "behind"), (-3600, "ahead of")])
def test_a_wrong_clock(ahead: float, said: str, serve: Any) -> None:
    serve(ahead=ahead)
    code, found = doctor()

    assert (code, found["clock"]["verdict"]) == (0, "warning")
    assert said in found["clock"]["what"]
    assert any(f" {seconds} seconds" in found["clock"]["what"] for seconds in (3599, 3600, 3601))


# What the gateway refuses


@pytest.mark.parametrize(
    ("fault", "said", "way_out"),
    [
        (Fault(status=402, code="insufficient_credits"), "balance is used up", "Top up"),
        (Fault(status=429, code="insufficient_quota"), "balance is used up", "Top up"),
        (Fault(status=429, code="daily_spending_cap_exceeded"), "spending limit", "Raise the limit"),
        (Fault(status=429, code="rate_limited"), "Too many requests", "Wait a minute"),
        (Fault(status=403), "may not do this", "another key"),
        (Fault(status=503, code="all_routes_failed"), "the provider behind it, failed", "Try again later"),
        (Fault(status=400, message="Strange request"), "Strange request", "as the message says"),
        (Fault(cut_after=0), "broke", "Try again"),
        (Fault(delay=3), "No answer came in 1 seconds", "--timeout"),
    ],
)
def test_a_request_that_fails(fault: Fault, said: str, way_out: str, gateway: Gateway) -> None:
    gateway.misbehave(fault)
    code, found = doctor("--timeout", "1")

    assert (code, found["models"]["verdict"], found["request"]["verdict"]) == (1, "ok", "fault")
    assert said in found["request"]["what"]
    assert way_out in found["request"]["way_out"]


def test_an_unknown_model(gateway: Gateway) -> None:
    code, found = doctor("--model", "gpt-0")

    assert (code, found["models"]["verdict"], found["request"]["verdict"]) == (1, "warning", "fault")
    assert "no model gpt-0" in found["request"]["what"]


def test_an_invalid_ledger_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_USAGE_LEDGER", "mysql://me:hush-hush@host/db")
    code, found = doctor("--no-request")

    assert (code, found["ledger"]["verdict"]) == (1, "fault")
    assert "hush-hush" not in str(found)


def test_a_ledger_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("TEXAPI_USAGE_LEDGER", f"sqlite:///{tmp_path}/later/usage.db")
    code, found = doctor("--timeout", "1")

    assert (code, found["request"]["verdict"], found["ledger"]["verdict"]) == (1, "ok", "fault")
    (tmp_path / "later").mkdir()


# Two languages


def test_the_locale_chooses_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "vi_VN.UTF-8")
    assert "All is well." in texapi("doctor").stdout  # LC_ALL comes first
    monkeypatch.delenv("LC_ALL")
    monkeypatch.delenv("LC_MESSAGES")
    assert "Mọi thứ đều ổn." in texapi("doctor").stdout
    assert "All is well." in texapi("doctor", "--language", "en").stdout


def test_in_vietnamese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_API_KEY", "")
    result = texapi("doctor", "--language", "vi")

    assert result.exit_code == 1
    assert "Chưa đặt TEXAPI_API_KEY." in result.stdout
    assert "→ Hãy tạo key" in result.stdout
    assert "Chưa dùng được" in result.stdout


def test_both_languages_have_the_same_content() -> None:
    english, vietnamese = doctor_texts.TEXTS["en"], doctor_texts.TEXTS["vi"]
    assert english.keys() == vietnamese.keys()
    for name, text in english.items():
        for ours, theirs in zip(text, vietnamese[name], strict=True):
            assert _fields(ours) == _fields(theirs), name
            assert bool(ours) == bool(theirs), name
    words = {*get_args(doctor_texts.Check), *get_args(doctor_texts.Verdict)}
    assert words <= doctor_texts.WORDS["en"].keys() == doctor_texts.WORDS["vi"].keys()


def _fields(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


# Models


def test_models_are_listed_with_prices_and_limits(gateway: Gateway) -> None:
    result = texapi("models", "--format", "json")
    rows = {row["model"]: row for row in json.loads(result.stdout)}

    assert result.exit_code == 0
    assert len(rows) == 10
    assert rows["claude-sonnet-4-6"] == {
        "model": "claude-sonnet-4-6",
        "owned_by": "texapi",
        "context_window": 1000000,
        "max_input_tokens": 1000000,
        "max_output_tokens": 128000,
        "inputs": "text image pdf",
        "tool_calling": True,
        "structured_output": True,
        "reasoning": True,
        "input_usd": "3",
        "cached_input_usd": "0.3",
        "output_usd": "15",
    }
    assert (rows["qwen3-235b"]["input_usd"], rows["qwen3-235b"]["context_window"]) == (None, 131_072)
    assert rows["gemini-3-pro"]["context_window"] is rows["gemini-3-pro"]["inputs"] is None


def test_the_user_s_own_prices_are_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text('{"models": {"qwen3-235b": {"input": "0.20", "output": 1}}}')
    monkeypatch.setenv("TEXAPI_PRICES", str(tmp_path / "prices.json"))
    (row,) = csv.DictReader(io.StringIO(texapi("models", "qwen", "--format", "csv").stdout))
    assert (row["input_usd"], row["cached_input_usd"], row["output_usd"]) == ("0.20", "", "1")
    assert "the file of TEXAPI_PRICES" in texapi("models").stdout

    (tmp_path / "prices.json").write_text("no JSON")
    monkeypatch.setenv("TEXAPI_PRICES", str(tmp_path / "nothing.json"))
    assert texapi("models").exit_code == 2


def test_the_table_of_models_is_readable() -> None:
    said = texapi("models", "sonnet").stdout

    assert "1,000,000" in said
    assert "yes" in said
    assert "not TexAPI's" in said


def test_models_that_cannot_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXAPI_API_KEY", "sk-tex-wrong-000000000000")
    result = texapi("models")

    assert result.exit_code == 4
    assert "texapi doctor" in result.stderr
    assert "sk-tex-wrong" not in result.output
