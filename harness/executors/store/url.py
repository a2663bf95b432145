"""The URL of a store: what it may be, and how it is printed. Light to import."""

from core.errors import UsageError

EXPECTED = "expected a URL such as s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or file:///FOLDER"
_OF_ONE_PROCESS = ("memory",)


def require_url(url: str) -> None:
    """Refuse what several machines cannot read and write, before any driver is looked for.

    Raises:
        UsageError: says what is expected.
    """
    protocol, mark, place = url.partition("://")
    if not mark or not place or "::" in url:
        raise UsageError(f"--store {without_secrets(url)}: {EXPECTED}")
    if protocol in _OF_ONE_PROCESS:
        raise UsageError(
            f"--store {without_secrets(url)}: {protocol}:// is private to one process, so no other "
            f"machine can see it; {EXPECTED}"
        )


def without_secrets(url: str) -> str:
    """The URL without user, password and key, whichever way its driver takes them."""
    protocol, mark, rest = url.partition("://")
    rest, question, _ = rest.partition("?")
    owner, at, place = rest.rpartition("@")
    if at and (":" in owner or "/" not in owner):
        rest = f"***@{place}"
    return f"{protocol}{mark}{rest}{'?***' if question else ''}"


def reason(error: Exception, *, url: str) -> str:
    """What a driver said, without what `without_secrets` hides."""
    said = (str(error).strip().splitlines() or ["no reason given"])[0]
    said = said.replace(url, without_secrets(url))
    rest = url.partition("://")[2]
    rest, _, query = rest.partition("?")
    owner = rest.rpartition("@")[0]
    for secret in (owner, owner.partition(":")[2], query):
        if secret and without_secrets(url).find(secret) < 0:
            said = said.replace(secret, "***")
    return said
