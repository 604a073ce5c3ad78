"""`texapi chat`: an answer as it arrives, then one line about the call."""

from __future__ import annotations

import stat
import sys
from os import fstat
from typing import Any

import texapi_core
from texapi_core.accounting import CallRecord, add_listener, remove_listener
from texapi_core.cli.call_settings import call_settings
from texapi_core.cli.guard import NO_GATEWAY, USAGE_ERROR, stop
from texapi_core.cli.language import say
from texapi_core.cli.line_history import add_line, load_lines
from texapi_core.cli.rows import print_rows
from texapi_core.cli.terminal import print_error
from texapi_core.request.payload import build_payload
from texapi_core.settings import Settings
from texapi_core.wire.text import printable
from texapi_core.wire.values import ChatDelta

_NOT_TEXT = "The input is not text in UTF-8."
_EXIT = ("exit", "quit", "/exit", "/quit")


def chat(
    *,
    prompt: str | None,
    model: str,
    system: str,
    max_tokens: int | None,
    temperature: float | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Ask once, or begin a conversation where there is no prompt and a terminal."""
    if not model:
        stop(USAGE_ERROR, say("Which model? Pass -m MODEL, or set TEXAPI_MODEL."))
    settings = call_settings(timeout=timeout)
    given = {"model": model, "max_tokens": max_tokens, "temperature": temperature}
    talk = _Talk(settings, {name: value for name, value in given.items() if value is not None}, system)
    text = _prompt(prompt)
    try:
        if text is None:
            _converse(talk, as_json=as_json)
        elif not text.strip():
            stop(USAGE_ERROR, say("Nothing was asked: the prompt is empty."))
        else:
            talk.ask(text, as_json=as_json)
    except texapi_core.TexAPIError as error:
        stop(NO_GATEWAY, say("{error} `texapi doctor` looks for the cause.", error=error))


def _prompt(given: str | None) -> str | None:
    """The argument, the input or both; `None` for a conversation at a terminal."""
    if given == "-" or (given is None and not sys.stdin.isatty()):
        return _read_input()
    if given is None:
        return None
    piped = _read_input() if _is_piped() else ""
    return f"{piped.rstrip()}\n\n{given}" if piped.strip() else given


def _is_piped() -> bool:
    """Whether a file or another command is the input: both end."""
    try:
        mode = fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _read_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        stop(USAGE_ERROR, say(_NOT_TEXT))


class _Talk:
    """A conversation: its messages, and the record of its last call."""

    def __init__(self, settings: Settings, parameters: dict[str, Any], system: str) -> None:
        self._settings = settings
        self._parameters = parameters
        self._messages = [{"role": "system", "content": system}] if system else []
        self._record: CallRecord | None = None

    def ask(self, text: str, *, as_json: bool = False) -> None:
        """Print the answer and a line about the call; the conversation goes on from it.

        Raises:
            TexAPIError: see `texapi_core.errors`; the question is not part of the conversation then.
        """
        messages = [*self._messages, {"role": "user", "content": text}]
        payload, _ = build_payload(self._parameters, messages, stream_usage=True)
        answer = self._answer(payload, shows=not as_json)
        self._messages = [*messages, {"role": "assistant", "content": answer}]
        if as_json:
            print_rows([{"answer": answer, **self._summary()}], "json")
        else:
            print_error(self._line(), "dim")

    def _answer(self, payload: dict[str, Any], *, shows: bool) -> str:
        parts: list[str] = []
        add_listener(self._keep)
        try:
            for item in texapi_core.stream(self._settings, payload):
                if isinstance(item, ChatDelta) and (said := item.text or item.refusal):
                    parts.append(said)
                    if shows:
                        sys.stdout.write(_shown(said))
                        sys.stdout.flush()
        finally:
            remove_listener(self._keep)
            if shows and parts:
                sys.stdout.write("\n")
                sys.stdout.flush()
        return "".join(parts)

    def _keep(self, record: CallRecord) -> None:
        self._record = record

    def _summary(self) -> dict[str, Any]:
        record = self._record
        if record is None:
            return {}
        usage = record.usage
        return {
            "model": record.served_model or record.model,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_usd": None if record.cost is None else f"{record.cost:f}",
            "first_token_ms": record.first_token_ms,
            "total_ms": record.total_ms,
            "finish_reason": record.finish_reason,
            "request_id": record.request_id,
        }

    def _line(self) -> str:
        """Tokens, USD, time to first token and request id; `?` is not known."""
        known = {name: "?" if value is None else value for name, value in self._summary().items()}
        known = {
            name: f"{value:,.0f}" if isinstance(value, (int, float)) else value
            for name, value in known.items()
        }
        text = (
            "{input_tokens} tokens in, {output_tokens} out, {cost_usd} USD, first token {first_token_ms} ms"
        )
        return f"{say(text, **known)}, {known.get('request_id', '?')}"


def _shown(text: str) -> str:
    """The text with its line ends and tabs, other control characters spelled out."""
    return (
        "".join(one if one in "\n\t" else printable(one) for one in text) if not text.isprintable() else text
    )


def _converse(talk: _Talk, *, as_json: bool) -> None:
    """Ask line by line until Ctrl-D; Ctrl-C ends an answer or a line, and arrow keys bring earlier lines."""
    load_lines()
    print_error(say("A conversation: Ctrl-D or `exit` ends it, Ctrl-C stops an answer."))
    while True:
        try:
            text = input("> ")
        except EOFError:
            sys.stdout.write("\n")
            return
        except KeyboardInterrupt:  # perhaps meant for an answer that has just ended
            sys.stdout.write("\n")
            continue
        except UnicodeDecodeError:
            print_error(say(_NOT_TEXT))
            continue
        if text.strip().lower() in _EXIT:
            return
        if not text.strip():
            continue
        add_line(text)
        try:
            talk.ask(text, as_json=as_json)
        except KeyboardInterrupt:
            print_error(say("Stopped."))
        except texapi_core.TexAPIError as error:
            print_error(say("{error} `texapi doctor` looks for the cause.", error=error))
