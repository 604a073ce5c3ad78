"""What an error shows beside its text: the errors that caused it, and the local variables of its frames."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType

from texapi_core.errors import TexAPIError
from texapi_core.failures.secrets import Secrets

_OWN = __name__.partition(".")[0] + "."


def conceal(error: TexAPIError, secrets: Secrets) -> None:
    """Take from an error what may hold a secret.

    Its traceback ends at the frame that calls this, since those below hold packets and bodies. Of its causes,
    one that quotes a secret is left out with all that is behind it: aiohttp's hold the request's headers.
    """
    if error.__traceback__ is not None:
        error.__traceback__.tb_next = None
    if error.__suppress_context__:
        error.__context__ = None
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        each = waiting.pop()
        seen.add(id(each))
        for link in ("__cause__", "__context__"):
            linked: BaseException | None = getattr(each, link)
            if linked is None or id(linked) in seen:
                continue
            if _quotes(linked, secrets):
                setattr(each, link, None)
            else:
                linked.__traceback__ = _without_own_frames(linked.__traceback__)
                waiting.append(linked)


def _quotes(error: BaseException, secrets: Secrets) -> bool:
    for show in (str, lambda each: repr(each.args), lambda each: repr(vars(each))):
        with suppress(Exception):
            if secrets.are_in(show(error)):
                return True
    return False


def _without_own_frames(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_frame.f_globals.get("__name__", "").startswith(_OWN):
        traceback = traceback.tb_next
    return traceback
