"""What `harness clean` prints."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.retention.clean import Cleaned
from harness.retention.rules import Item, Rule
from harness.wording.numbers import count, few, size
from harness.wording.plain_text import plain

_MOST_ROWS = 30


def cleaned_view(done: Cleaned) -> RenderableType:
    """A row for what went from each place by each rule, the largest first; then the rules."""
    verb = "would be removed" if done.is_dry_run else "removed"
    if not done.items:
        parts: list[RenderableType] = [Text(f"nothing to remove in {plain(done.results)}")]
    else:
        parts = [
            _table(done),
            Text(f"{size(done.size_bytes)} in {count(len(done.items), 'item')} {verb}"),
        ]
        used = dict.fromkeys(item.rule for item in done.items)
        parts += [Text(f"{_label(rule)}: {rule.sentence}") for rule in Rule if rule in used]
    if done.in_use:
        parts.append(Text(f"left, since a process works on them: {few(done.in_use)}"))
    if done.unknown:
        parts.append(
            Text(
                "no cached features were looked at, since it is not known which split these use: "
                f"{few(done.unknown)}; `harness data cache --prune` removes features all the same"
            )
        )
    return Group(*parts)


def _table(done: Cleaned) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("what")
    table.add_column("where", overflow="fold")
    table.add_column("items", justify="right")
    table.add_column("size", justify="right")
    groups: dict[tuple[Rule, str], list[Item]] = {}
    for item in done.items:
        groups.setdefault((item.rule, _place(item, done)), []).append(item)
    rows = sorted(groups.items(), key=lambda row: -sum(item.size_bytes for item in row[1]))
    for (rule, place), items in rows[:_MOST_ROWS]:
        total = sum(item.size_bytes for item in items)
        table.add_row(_label(rule), plain(place), str(len(items)), size(total))
    if len(rows) > _MOST_ROWS:
        rest = [item for _, items in rows[_MOST_ROWS:] for item in items]
        total = sum(item.size_bytes for item in rest)
        table.add_row("and more", "see --json", str(len(rest)), size(total))
    return table


def _place(item: Item, done: Cleaned) -> str:
    parts = item.path.relative_to(done.results).parts
    if item.rule is Rule.UNUSED_SCORER_FEATURES:  # many small files of one folder
        parts = parts[:-1]
    return "/".join(parts[:2]) if parts[0] != "cache" else "/".join(parts)


def _label(rule: Rule) -> str:
    return rule.value.replace("_", " ")
