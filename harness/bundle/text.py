"""What `harness bundle` and `harness verify` say."""

from typing import Any

from rich.text import Text

from harness.bundle.make import Bundle
from harness.bundle.verify import Verification
from harness.wording.numbers import count, size
from harness.wording.plain_text import plain

_MOST_SHOWN = 20


def bundle_view(made: Bundle) -> Text:
    """Where it is, and its hash, by which others know it."""
    return Text(
        f"{made.path}  {size(made.num_bytes)}, {count(made.verification.num_runs, 'run')}; "
        f"computed again from it: {plain(made.verification.verdict)}\n"
        f"sha256  {made.sha256}\n"
        f"check   harness verify {made.path}"
    )


def bundle_data(made: Bundle) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "bundle": str(made.path),
        "sha256": made.sha256,
        "num_bytes": made.num_bytes,
        "comparison": made.verification.name,
        "verdict": made.verification.verdict,
        "num_runs": made.verification.num_runs,
    }


def verification_view(found: Verification) -> Text:
    """The verdict and that it follows, or what does not; then what was not checked."""
    lines = []
    if found.differences:
        shown = found.differences[:_MOST_SHOWN]
        lines.append(
            f"NOT verified: {count(len(found.differences), 'value')} of {plain(found.name)} "
            f"{'does' if len(found.differences) == 1 else 'do'} not follow from the evidence"
        )
        lines += [f"  {plain(difference.sentence())}" for difference in shown]
        if more := len(found.differences) - len(shown):
            lines.append(f"  and {more} more; --json lists all")
    else:
        lines.append(f"verified: {plain(found.verdict)}")
        lines.append(
            f"{count(found.num_numbers, 'number')} of {plain(found.name)} computed again from "
            f"{count(found.num_runs, 'run')}; all follow from the evidence"
        )
    lines.append(f"sha256  {found.sha256}")
    lines.append("not checked:")
    lines += [f"  - {plain(sentence)}" for sentence in found.unchecked]
    return Text("\n".join(lines))
