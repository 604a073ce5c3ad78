"""A table of a million ids in 16 MB, and what is known of each."""

from __future__ import annotations

from array import array
from typing import Final

ANSWERED: Final = 1
STARTED: Final = 2
SEEN: Final = 4
_FLAGS = 7
_FIRST_SIZE = 1 << 12


class IdTable:
    """Flags of ids, by their 61-bit hash: of a million ids two have the same with a probability of 2e-7."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _FIRST_SIZE))
        self._used = 0

    def flags(self, name: str) -> int:
        """The flags of an id, 0 for an unknown one."""
        key = _key(name)
        return self._slots[_slot(self._slots, key)] & _FLAGS

    def add(self, name: str, flag: int) -> None:
        """Set a flag of an id."""
        key = _key(name)
        slot = _slot(self._slots, key)
        found = self._slots[slot]
        self._slots[slot] = (found or key) | flag
        if not found:
            self._used += 1
            if 3 * self._used > 2 * len(self._slots):
                self._grow()

    def remove(self, name: str, flag: int) -> None:
        """Take a flag of an id away."""
        key = _key(name)
        slot = _slot(self._slots, key)
        if self._slots[slot]:
            self._slots[slot] &= ~flag

    def _grow(self) -> None:
        slots = array("Q", bytes(16 * len(self._slots)))
        for entry in self._slots:
            if entry:
                slots[_slot(slots, entry & ~_FLAGS)] = entry
        self._slots = slots


def _key(name: str) -> int:
    return (hash(name) & 0xFFFF_FFFF_FFFF_FFF8) or 8  # 0 is an empty slot


def _slot(slots: array[int], key: int) -> int:
    """Where the key is, or its place if it is not there yet."""
    last = len(slots) - 1
    slot = (key >> 3) & last
    while (found := slots[slot]) and found & ~_FLAGS != key:
        slot = (slot + 1) & last
    return slot
