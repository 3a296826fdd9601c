"""How long a step of a network is: one answer for its nodes, its groups and its ready behaviors."""

from __future__ import annotations

from recurra.engine.grid import read_step
from recurra.errors import TimeError


class Pace:
    """Hold the step of a network.

    It is what the network was given, else what its ready behaviors were given, else 1: then a step of the network is
    one iteration of its behaviors.

    Arguments:
        dt: the step that the network was given, `None` for none.

    Raises:
        TimeError: `dt` is no finite number > 0.

    >>> pace = Pace(None)
    >>> pace.dt, pace.take(0.5, "LeakyIntegrateAndFire"), pace.dt
    (1.0, 0.5, 0.5)
    """

    def __init__(self, dt: float | None):
        self.given = None if dt is None else read_step(dt)
        self._taken: tuple[float, str] | None = None

    @property
    def dt(self) -> float:
        """Give the step."""
        if self.given is not None:
            return self.given
        return 1.0 if self._taken is None else self._taken[0]

    def take(self, dt: float | None, who: str) -> float:
        """Return the step for a behavior that reckons with time.

        Arguments:
            dt: the step that the behavior was given itself, `None` for none.
            who: its name.

        Raises:
            TimeError: it is not that of the network, or of another behavior.
        """
        wanted = self.dt if dt is None else read_step(dt)
        if self.given is not None and wanted != self.given:
            raise TimeError(
                f"{who}: dt={wanted:g}, but a step of the network is {self.given:g}; a network has one dt. Leave the"
                " behavior's out."
            )
        if self._taken is not None and wanted != self._taken[0]:
            raise TimeError(
                f"{who}: dt={wanted:g}, but {self._taken[1]} takes a step for {self._taken[0]:g}; a network has one dt."
                f" Give it to the network: Network(dt={wanted:g})."
            )
        if self.given is None:
            self._taken = self._taken or (wanted, who)
        return wanted

    def forget(self) -> None:
        """Forget what behaviors were given: they are initialised again."""
        self._taken = None
