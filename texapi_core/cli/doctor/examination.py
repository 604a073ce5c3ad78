"""Checks the setup step by step, from the key to a small request.

Findings never contain the key, nor the password or query of a URL.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import openai

from texapi_core import accounting, errors
from texapi_core.accounting.prices import PriceList, bundled_prices, parse_prices
from texapi_core.accounting.record import labels_of
from texapi_core.adapter_base.accounting_parameters import AccountingParameters
from texapi_core.catalog import ModelInfo
from texapi_core.chat import complete
from texapi_core.cli.doctor.texts import Check, Verdict
from texapi_core.cli.models import cheapest
from texapi_core.models import list_models
from texapi_core.settings import (
    BASE_URL_ENVS,
    CallOptions,
    Settings,
    env_api_key,
    env_base_url,
    key_hint,
    resolve_settings,
)
from texapi_core.settings_checks import DEFAULT_BASE_URL, check_api_key, check_base_url

_KEY_PREFIX = "sk-tex-"
_QUOTES = ("'", '"', "\u201c", "\u201d")
_MAX_SKEW = 60.0
"""Seconds that a clock may be off without a warning."""
_LOCAL = ("localhost", "127.0.0.1", "::1")
_PORTS = {"http": 80, "https": 443}
_NEEDS: Mapping[Check, tuple[Check, ...]] = {
    "dns": ("address",),
    "connection": ("dns",),
    "tls": ("connection",),
    "clock": ("tls",),
    "models": ("key", "tls"),
    "request": ("models",),
}
_TAG = "texapi-doctor"
"""The tag of the trial call in the ledger."""
_CERTIFICATE_FAULTS = {
    9: "certificate_early",
    10: "certificate_expired",
    62: "certificate_of_another",
    64: "certificate_of_another",
}
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED, _HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH."""
_MAX_CAUSES = 10
_ERRORS: tuple[tuple[type[errors.TexAPIError], str], ...] = (
    (errors.TexAPIAuthenticationError, "wrong_key"),
    (errors.TexAPIInsufficientCreditsError, "no_credits"),
    (errors.TexAPISpendingLimitError, "spending_limit"),
    (errors.TexAPIRateLimitError, "rate_limited"),
    (errors.TexAPIPermissionDeniedError, "not_allowed"),
    (errors.TexAPIRedirectError, "redirected"),
    (errors.TexAPITimeoutError, "too_slow"),
    (errors.TexAPIConnectionError, "broken"),
    (errors.TexAPIStreamInterruptedError, "broken"),
    (errors.TexAPIResponseError, "no_texapi"),
    (errors.TexAPIResponseTooLargeError, "no_texapi"),
    (errors.TexAPIServerError, "server_failed"),
    (errors.TexAPINotFoundError, "no_texapi"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check: the name of a text and its values."""

    check: Check
    verdict: Verdict
    text: str
    values: Mapping[str, Any] = field(default_factory=dict)


_Result = tuple[Verdict, str] | tuple[Verdict, str, Mapping[str, Any]]
"""What a check found: the members of its `Finding` after its name."""


class Examination:
    """Runs the checks. Each one uses the results of those before it."""

    def __init__(self, *, model: str = "", timeout: float = 20.0, sends_request: bool = True) -> None:
        self._timeout = timeout
        self._model = model
        self._sends_request = sends_request
        self._key = ""
        self._url = ""
        self._shown_url = ""
        self._endpoint = ("", 0)
        self._skew: float | None = None
        self._listed: list[ModelInfo] = []
        self._accounting = AccountingParameters()
        self._has_sent = False

    def run(self) -> Generator[Finding]:
        """The findings, each as soon as its check is done."""
        checks: dict[Check, Callable[[], _Result]] = {
            "key": self._check_key,
            "address": self._check_address,
            "dns": self._check_dns,
            "connection": self._check_connection,
            "tls": self._check_tls,
            "clock": self._check_clock,
            "models": self._check_models,
            "request": self._check_request,
        }
        if self._accounting.usage_ledger:
            checks["ledger"] = self._check_ledger
        passed: set[Check] = set()
        for check, run_check in checks.items():
            is_reached = passed.issuperset(_NEEDS.get(check, ()))
            finding = Finding(check, *(run_check() if is_reached else ("skipped", "not_reached")))
            if finding.verdict in ("ok", "warning"):
                passed.add(check)
            yield finding

    def _check_key(self) -> _Result:
        key = env_api_key()
        if key is None:
            return "fault", "key_missing"
        if key.strip().startswith(_QUOTES) or key.strip().endswith(_QUOTES):
            return "fault", "key_quoted"
        if key.lower().startswith("bearer "):
            return "fault", "key_with_bearer"
        if "..." in key or "…" in key:
            return "fault", "key_placeholder"
        try:
            self._key = check_api_key(key)
        except errors.TexAPISettingsError:
            return "fault", "key_spoilt"
        if not key.startswith(_KEY_PREFIX):
            return "warning", "key_foreign"
        if not key_hint(key):
            return "warning", "key_short", {"length": len(key)}
        return "ok", "key_there", {"hint": key_hint(key)}

    def _check_address(self) -> _Result:
        url = env_base_url()
        variable = next((name for name in BASE_URL_ENVS if os.environ.get(name, "").strip()), None)
        self._shown_url = "…" if "@" in url or "?" in url else url  # may contain a password or a key
        values = {"url": self._shown_url, "variable": variable, "default": DEFAULT_BASE_URL}
        try:
            self._url = check_base_url(url)
        except errors.TexAPISettingsError:
            return "fault", "address_unusable", values
        return "ok", "address_set" if variable else "address_default", values

    def _check_dns(self) -> _Result:
        address = urlsplit(self._url)
        host, port = address.hostname or "", address.port or _PORTS[address.scheme]
        proxy = getproxies().get(address.scheme) or getproxies().get("all")
        if proxy and not proxy_bypass(host):
            route = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
            host, port = route.hostname or "", route.port or _PORTS.get(route.scheme, 1080)
        self._endpoint = (host, port)
        values: dict[str, Any] = {"host": host, "port": port}
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            return "fault", "dns_unknown", {**values, "reason": _reason(error)}
        values["addresses"] = ", ".join(sorted({str(place[0]) for *_, place in found}))
        return "ok", "dns_known" if host == address.hostname else "dns_proxy", values

    def _check_connection(self) -> _Result:
        values: dict[str, Any] = dict(zip(("host", "port"), self._endpoint, strict=True))
        start = time.monotonic()
        try:
            socket.create_connection(self._endpoint, self._timeout).close()
        except TimeoutError:
            return "fault", "silent", {**values, "seconds": f"{self._timeout:g}"}
        except ConnectionRefusedError:
            return "fault", "refused", values
        except OSError as error:
            return "fault", "unreachable", {**values, "reason": _reason(error)}
        return "ok", "connected", {**values, "ms": _milliseconds_since(start)}

    def _check_tls(self) -> _Result:
        """Send a request without the key, with the HTTP client and the certificates that calls use."""
        address = urlsplit(self._url)
        values = {"host": address.hostname, "seconds": f"{self._timeout:g}"}
        try:
            with (
                openai.DefaultHttpxClient(timeout=self._timeout, follow_redirects=False) as client,
                client.stream("GET", f"{self._url}/models") as response,
            ):
                now = time.time()
                version = _tls_version_of(response)
                self._skew = _skew(response.headers.get("date"), now)
        except Exception as error:  # from httpx, httpx2 or a layer below
            text, reason = _classify_failure(error)
            return "fault", text, {**values, "reason": reason, "now": f"{datetime.now():%Y-%m-%d %H:%M}"}
        if address.scheme == "https":
            return "ok", "tls_trusted", {**values, "version": version}
        if address.hostname in _LOCAL:
            return "ok", "tls_not_needed", values
        return "warning", "tls_missing", values

    def _check_clock(self) -> _Result:
        if self._skew is None:
            return "skipped", "clock_unknown"
        values = {"seconds": f"{abs(self._skew):.0f}"}
        if abs(self._skew) <= _MAX_SKEW:
            return "ok", "clock_right", values
        return "warning", "clock_slow" if self._skew > 0 else "clock_fast", values

    def _check_models(self) -> _Result:
        try:
            self._listed = list_models(self._settings())
        except errors.TexAPIError as error:
            return self._failed(error)
        if not self._listed:
            return "fault", "models_none"
        if self._model and self._model not in {model.id for model in self._listed}:
            return "warning", "model_unlisted", {"model": self._model}
        return "ok", "models_listed", {"count": len(self._listed)}

    def _check_request(self) -> _Result:
        if not self._sends_request:
            return "skipped", "request_not_wanted"
        model = self._model or cheapest(self._listed, self._prices())
        values: dict[str, Any] = {"model": model}
        payload = {"model": model, "messages": [{"role": "user", "content": "Reply with the word OK."}]}
        start = time.monotonic()
        self._has_sent = True
        try:
            options = CallOptions(labels=lambda: labels_of([_TAG], {}))
            reply = complete(self._settings(), payload, options)
        except errors.TexAPINotFoundError:
            return "fault", "no_such_model", values
        except errors.TexAPIError as error:
            return self._failed(error)
        values |= {"ms": _milliseconds_since(start), "request_id": reply.request_id or "?"}
        usage = reply.usage
        if usage is None or usage.input_tokens is None or usage.output_tokens is None:
            return "warning", "answered_without_usage", values
        values |= {"input": usage.input_tokens, "output": usage.output_tokens}
        return "ok", "answered", values

    def _check_ledger(self) -> _Result:
        try:
            self._accounting.check_accounting()
            if self._has_sent and accounting.flush_ledgers(self._timeout):
                return self._check_reading()
        except errors.TexAPISettingsError as error:
            return "fault", "ledger_unusable", {"reason": str(error)}
        if self._has_sent:
            return "fault", "ledger_silent", {"seconds": f"{self._timeout:g}"}
        return "ok", "ledger_usable"

    def _check_reading(self) -> _Result:
        try:
            with accounting.open_for_reading(self._accounting.usage_ledger or ""):
                return "ok", "ledger_written", {"tag": _TAG}
        except accounting.LedgerUnreadableError as error:
            return "fault", "ledger_unusable", {"reason": str(error)}

    def _settings(self) -> Settings:
        """Settings with the user's accounting: the trial call is charged and will be in the statement."""
        try:
            accounting = self._accounting.accounting
        except ValueError:
            accounting = None
        return resolve_settings(
            api_key=self._key, base_url=self._url, timeout=self._timeout, max_retries=0, accounting=accounting
        )

    def _prices(self) -> PriceList:
        try:
            return parse_prices(self._accounting.prices)
        except ValueError:
            return bundled_prices()

    def _failed(self, error: errors.TexAPIError) -> _Result:
        text = next((text for kind, text in _ERRORS if isinstance(error, kind)), "failed")
        values = {"url": self._shown_url, "reason": str(error), "request_id": error.request_id or "-"}
        return "fault", text, {**values, "seconds": f"{self._timeout:g}"}


def _classify_failure(error: BaseException) -> tuple[str, str]:
    """The text for an exception of an HTTP library, and the reason by its innermost cause."""
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None:
            break
        reason = _reason(cause)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _CERTIFICATE_FAULTS.get(cause.verify_code, "certificate_untrusted"), reason
        if isinstance(cause, FileNotFoundError):
            return "certificates_missing", reason
        if isinstance(cause, ssl.SSLError):
            return "no_tls", cause.reason or reason
        if isinstance(cause, TimeoutError) or "timeout" in type(cause).__name__.lower():
            return "too_slow", reason
        cause = cause.__cause__ or cause.__context__
    return "no_http", reason


def _tls_version_of(response: Any) -> str:
    """From httpx's documented `network_stream` extension."""
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("ssl_object") if stream is not None else None
    return (connection.version() if connection is not None else None) or "TLS"


def _skew(date: str | None, now: float) -> float | None:
    """Seconds that this computer's clock is behind the gateway's, `None` without a `Date` header."""
    try:
        return parsedate_to_datetime(date).timestamp() - now if date else None
    except (TypeError, ValueError):
        return None


def _reason(error: BaseException) -> str:
    reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
    return str(reason).rstrip(".") or type(error).__name__


def _milliseconds_since(start: float) -> str:
    return f"{(time.monotonic() - start) * 1000:.0f}"
