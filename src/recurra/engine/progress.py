"""A progress bar for runs that take longer than a second, where a person is watching."""

from __future__ import annotations

import sys
import time


class Progress:
    """Show how many steps are done, once a second has passed.

    Arguments:
        total: number of steps.
        shown: whether the user wants a bar at all.
        unit: what is counted.
    """

    def __init__(self, total: int, shown: bool, unit: str = "step"):
        self._unit = unit
        self._total, self._done, self._bar = total, 0, None
        self._shown = shown and (sys.stderr.isatty() or "ipykernel" in sys.modules)
        self._start = time.monotonic()

    def update(self, steps: int) -> None:
        """Say that `steps` more steps are done."""
        self._done += steps
        if self._shown and self._bar is None and time.monotonic() - self._start > 1.0 and self._done < self._total:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self._total, initial=self._done, unit=self._unit, unit_scale=True)
        elif self._bar is not None:
            self._bar.update(steps)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
