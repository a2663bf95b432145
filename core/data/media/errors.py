"""What is wrong with a media file."""

from core.data.items import Reason
from core.errors import DataError


class MediaError(DataError):
    """A media file that cannot be used, with the machine-readable reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
