"""How the image of a clip is named in a run's folder."""

import re
from hashlib import blake2b

# An id comes from the user's metadata or file names and must not choose where we write.
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_-]+")


def file_stem(sample_id: str) -> str:
    """A file name for a sample: its id where that is plain, else made plain, with a hash."""
    if _PLAIN_ID.fullmatch(sample_id):
        return sample_id
    mark = blake2b(sample_id.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    return f"{_NOT_PLAIN.sub('_', sample_id)[:60]}-{mark}"
