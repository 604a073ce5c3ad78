"""An opt-in for `init_chat_model("texapi:...")`."""

from __future__ import annotations

from typing import Any

from langchain_texapi._assistant import MODEL_PROVIDER


def register_init_chat_model() -> bool:
    """Make `langchain.chat_models.init_chat_model("texapi:<model>")` build a `ChatTexAPI`.

    LangChain keeps its providers in a private table and has no public way to add one, so this writes
    into that table. Calling it is optional; nothing else here depends on it.

    Returns:
        True if it worked; False, with nothing changed, if `langchain` is not installed or its table has
        another form than expected.
    """
    try:
        from langchain.chat_models import base  # an optional package
    except ImportError:
        return False
    providers = getattr(base, "_BUILTIN_PROVIDERS", None)
    if not isinstance(providers, dict) or not all(_is_known_form(entry) for entry in providers.values()):
        return False
    providers.setdefault(MODEL_PROVIDER, ("langchain_texapi", "ChatTexAPI", _create))
    return True


def _is_known_form(entry: Any) -> bool:
    """`(package, class name, creator)`."""
    return isinstance(entry, tuple) and len(entry) == 3 and callable(entry[2])


def _create(cls: Any, **kwargs: Any) -> Any:
    return cls(**kwargs)
