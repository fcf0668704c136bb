"""Points in time as certificates write them: UTC, whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_LENGTH = len("2026-01-01T00:00:00Z")


def parse_time(text: object) -> datetime:
    """ValueError unless it is `YYYY-MM-DDTHH:MM:SSZ` and in the calendar."""
    if not isinstance(text, str) or len(text) != _LENGTH or not text.isascii():
        raise ValueError("is not a time YYYY-MM-DDTHH:MM:SSZ")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a time YYYY-MM-DDTHH:MM:SSZ") from None
    if format_time(found) != text:  # fromisoformat knows other spellings
        raise ValueError("is not a time YYYY-MM-DDTHH:MM:SSZ")
    return found.astimezone(UTC)


def format_time(time: datetime) -> str:
    """Inverse of `parse_time`."""
    return time.astimezone(UTC).strftime(FORMAT)


def now_or(time: datetime | None) -> datetime:
    """The given time (UTC, if it names no zone), or the clock's, in whole seconds."""
    found = time or datetime.now(UTC)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).replace(microsecond=0)


def later(time: datetime, *, days: int) -> datetime:
    """ValueError where the calendar ends."""
    try:
        return time + timedelta(days=days)
    except OverflowError:
        raise ValueError("lies beyond the calendar") from None
