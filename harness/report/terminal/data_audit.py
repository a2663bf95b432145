"""What `harness data audit` prints: findings and suspicious clips."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.audit.audit import Audit
from core.audit.zero_shot import ZeroShot
from harness.wording.numbers import few
from harness.wording.plain_text import plain

_SHOWN_IDS = 6
_SHOWN_SUSPECTS = 20


def audit_view(found: Audit) -> RenderableType:
    """Findings, the most suspicious clips, and what was not looked at."""
    parts: list[RenderableType] = [
        Text(plain(", ".join(f"{name}: {count} clips" for name, count in found.clips.items())))
    ]
    if not found.findings:
        parts.append(Text("nothing found", style="green"))
    for finding in found.findings:
        parts.append(Text(f"{finding.kind.value}: {plain(finding.sentence)}"))
        if finding.ids:
            parts.append(Text(f"  {plain(few(finding.ids, most=_SHOWN_IDS))}", style="dim"))
    for result in found.zero_shot:
        parts += _heard(result)
    parts += [
        Text(f"not checked: {plain(sentence)}", style="dim") for sentence in found.not_checked
    ]
    if found.findings or any(result.suspects for result in found.zero_shot):
        parts.append(
            Text(
                "next, for what you agree with: harness data exclude TARGET ID... --reason TEXT "
                "--out NEW, harness data relabel TARGET ID CLASS --reason TEXT --out NEW"
            )
        )
    return Group(*parts)


def _heard(result: ZeroShot) -> Iterator[RenderableType]:
    yield Text(
        f"CLAP doubts {len(result.suspects)} of {result.num_clips} labels of {plain(result.name)}; "
        "nothing was changed"
    )
    if result.not_judged:
        names = plain(", ".join(result.not_judged))
        yield Text(
            f"  CLAP recognises fewer than half of the clips of {names}, so those classes "
            "are not judged"
        )
    if not result.suspects:
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("clip", "label", "of label", "sounds like", "of that"):
        table.add_column(heading, justify="right" if heading.startswith("of") else "left")
    for suspect in result.suspects[:_SHOWN_SUSPECTS]:
        table.add_row(
            Text(plain(suspect.id)),
            Text(plain(suspect.class_name)),
            f"{suspect.probability:.2f}",
            Text(plain(suspect.likely)),
            f"{suspect.likely_probability:.2f}",
        )
    yield table
    more = len(result.suspects) - _SHOWN_SUSPECTS
    if more > 0:
        yield Text(f"  and {more} more; --json lists all", style="dim")
