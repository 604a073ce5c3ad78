"""The stores of reservations of this process: one for each place, and none of a parent's after a fork."""

from __future__ import annotations

import threading
from collections.abc import Callable

from texapi_core._fork import at_fork
from texapi_core.accounting.accounts import Crossing
from texapi_core.accounting.reservation_database import Accounts
from texapi_core.accounting.reservations import ReservationStore

stores: dict[str, ReservationStore] = {}
_inherited: list[ReservationStore] = []
"""Stores of a parent process, kept so that nothing of theirs is closed here."""
_lock = threading.RLock()


def store_of(
    name: str, accounts: Callable[[], Accounts], report: Callable[[Crossing], None]
) -> ReservationStore:
    """The store of a name; the first call makes it."""
    with _lock:
        store = stores.get(name)
        if store is None:
            store = stores[name] = ReservationStore(accounts(), report)
        return store


def settle_all(until: float) -> bool:
    """Commit the settlements of all ended calls; `False` if that fails until a time of the monotonic clock.

    Each store commits in its own thread as well, so one that is stuck leaves the others their time.
    """
    are_settled = [store.flush(until) for store in list(stores.values())]
    return all(are_settled)


def _before_fork() -> None:
    for store in stores.values():
        store.before_fork()


def _after_fork_in_parent() -> None:
    for store in stores.values():
        store.after_fork_in_parent()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    _inherited.extend(stores.values())
    stores.clear()


at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
