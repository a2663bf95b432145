"""Which stretches of a clip longer than the window are heard, and the cache key of each."""

from math import floor

_LEAST_STEP = 0.25
"""Of the window, between two starts: crops that share more than three quarters say the same."""
_SEPARATOR = "@"


def crop_starts_ms(duration_s: float, *, window_s: float, num_crops: int) -> tuple[int, ...]:
    """Starts of at most `num_crops` windows of a clip, whole milliseconds, ascending.

    They are spread evenly from the clip's start to its last whole window, at least a quarter of
    the window apart; the first is always 0. A function of the duration alone, so that every
    branch and every process crops alike.
    """
    room_s = duration_s - window_s
    num = min(num_crops, 1 + max(0, floor(room_s / (_LEAST_STEP * window_s))))
    # Rounded down: the last window must not reach beyond the clip.
    return tuple(floor(1000 * room_s * k / (num - 1)) for k in range(num)) if num > 1 else (0,)


def crop_key(audio_sha256: str, start_ms: int) -> str:
    """Cache key of a crop: the content's own hash at the start, so old rows stay in use."""
    return f"{audio_sha256}{_SEPARATOR}{start_ms}" if start_ms else audio_sha256


def content_and_start(key: str) -> tuple[str, int]:
    """(content hash, start in milliseconds) of a crop's key, or of a plain content hash."""
    content, _, start = key.partition(_SEPARATOR)
    return content, int(start or 0)
