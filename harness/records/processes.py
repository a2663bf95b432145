"""The processes that worked on a run, a comparison or a sweep, and what they took together."""

from pydantic import Field

from harness.records.parts import Part


class SessionFacts(Part):
    """What one process that worked on a run took."""

    started_at: str
    """UTC, ISO 8601."""
    ended_at: str | None = None
    """UTC; None while it goes on, or where nobody has noticed its end."""
    how: str | None = None
    """finished, failed, stopped (by a signal, after a checkpoint), paused or cancelled (from
    another terminal, likewise), or killed."""
    device: str | None = None
    """Kind of device; None for a process that computes nothing itself."""
    seconds: float | None = None
    """By the clock; of a killed one up to the last sign of it."""
    price_per_hour: float | None = None
    """Dollars per hour of its machine; None where nobody named a price."""
    step: int | None = None
    """Optimiser step of the whole schedule that it came to."""
    parts: dict[str, float] = Field(default_factory=dict)
    """Its seconds by what they were spent on."""

    @property
    def dollars(self) -> float | None:
        """What it cost; None where the price or the time is not known."""
        if self.price_per_hour is None or self.seconds is None:
            return None
        return self.price_per_hour * self.seconds / 3_600


class Session(SessionFacts):
    """One process that worked on a run, a comparison or a sweep, and which it is."""

    session: str
    """What names it."""
    host: str
    """Name of its machine."""
    pid: int
    """Its number there."""
    process_started: int | None = None
    """When the process started, as the machine counts; tells it from a later one of that number."""
    error: str | None = None
    """What ended it, where it failed."""
    command: str = ""
    """The command that it carries out."""

    @property
    def facts(self) -> SessionFacts:
        """What a record holds of it, which names no machine."""
        return SessionFacts.model_validate(
            {name: getattr(self, name) for name in SessionFacts.model_fields}
        )


class Cost(Part):
    """What a run took; a record says as much of it as was noted."""

    seconds: dict[str, float] = Field(default_factory=dict)
    """By phase, of the last process on it; `RunRecord.seconds` are those of all."""
    peak_memory_bytes: int | None = None
    """Most memory held; None where it was not measured."""
    train_device_seconds: float | None = None
    """Device seconds of training over all processes; None before it ended."""
    device: str | None = None
    """Kind of device; None: not recorded."""
    resumed_from_step: int | None = None
    """Step from which the last process went on; None without an interruption."""
    dollars: float | None = None
    """What all processes on it cost; None where the price of one is not known."""
    sessions: list[SessionFacts] = Field(default_factory=list)
    """Every process that worked on it; empty in a record of before these were kept."""

    @property
    def parts(self) -> dict[str, float]:
        """Seconds of all processes by what they were spent on; empty where none was kept."""
        found: dict[str, float] = {}
        for session in self.sessions:
            for part, seconds in session.parts.items():
                found[part] = found.get(part, 0.0) + seconds
        return found

    @property
    def wall_seconds(self) -> float | None:
        """Seconds of all processes by the clock; None where one's are not known."""
        seconds = [session.seconds for session in self.sessions]
        known = [value for value in seconds if value is not None]
        return sum(known) if known and len(known) == len(seconds) else None
