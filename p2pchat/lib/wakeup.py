"""An event that can be reset, which trio's cannot."""

from __future__ import annotations

from trio.lowlevel import ParkingLot, checkpoint


class Wakeup:
    """A flag that tasks wait for. Once set, it stays set until `clear`; `pulse` wakes the waiting tasks without setting
    it.

    The usual loop clears the flag before it looks at what there is to do, so that nothing set meanwhile is missed:

        while True:
            wakeup.clear()
            do_what_is_due()
            await wakeup.wait()
    """

    __slots__ = ("_is_set", "_waiting")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting = ParkingLot()

    def is_set(self) -> bool:
        """Return whether `wait` would return at once."""
        return self._is_set

    def set(self) -> None:
        """Set the flag, and wake every task that waits."""
        if not self._is_set:
            self._is_set = True
            self._waiting.unpark_all()

    def clear(self) -> None:
        """Reset the flag: tasks that wait from now on wait for the next `set` or `pulse`."""
        self._is_set = False

    def pulse(self) -> None:
        """Wake the tasks that are waiting now, and no later ones."""
        self._waiting.unpark_all()

    async def wait(self) -> None:
        """Wait until it is set or pulsed. A checkpoint in any case."""
        if self._is_set:
            await checkpoint()
        else:
            await self._waiting.park()
