"""What `harness pack` and `harness unpack` say."""

import shlex
from typing import Any

from rich.text import Text

from harness.pack.contents import SCRIPT, DataMode, PackFacts
from harness.pack.pack import Pack
from harness.pack.unpack import Unpacked
from harness.wording.numbers import count, size
from harness.wording.plain_text import plain

_DATA = {
    DataMode.NONE: "the lock of the split, without media",
    DataMode.FEATURES: "features, and the media that are not trained on",
    DataMode.MEDIA: "features and all media of the split",
}


def pack_view(made: Pack) -> Text:
    """What is in it, and the next step."""
    lines = [f"{made.path}  {size(made.num_bytes)}", *_contents(made.facts)]
    lines.append(f"sha256  {made.sha256}")
    lines.append(
        f"there   mkdir box && tar xf {made.path.name} -C box && sh box/{SCRIPT}\n"
        f"        (with this harness: harness unpack {made.path.name} --dir box --check)"
    )
    return Text("\n".join(lines))


def pack_data(made: Pack) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "pack": str(made.path),
        "sha256": made.sha256,
        "num_bytes": made.num_bytes,
        **made.facts.model_dump(mode="json"),
    }


def unpacked_view(done: Unpacked) -> Text:
    """What lies there now, and the next step."""
    verb = "unpacked and checked" if done.is_new else "as it was packed"
    lines = [
        f"{done.folder}: {count(done.num_files, 'file')}, {size(done.num_bytes)}, {verb}",
        *_contents(done.facts),
        f"next: sh {done.folder / SCRIPT}",
    ]
    return Text("\n".join(lines))


def unpacked_data(done: Unpacked) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "folder": str(done.folder),
        "script": str(done.folder / SCRIPT),
        "num_files": done.num_files,
        "num_bytes": done.num_bytes,
        "is_new": done.is_new,
        **done.facts.model_dump(mode="json"),
    }


def _contents(facts: PackFacts) -> list[str]:
    lines = [f"data    {_DATA[facts.data]}"] if facts.split_hash is not None else []
    if facts.rows:
        rows = ", ".join(f"{plain(kind)} {n:,}" for kind, n in sorted(facts.rows.items()))
        lines.append(f"rows    {rows}")
    for run in facts.runs:
        where = "without a checkpoint" if run.checkpoint is None else f"from {run.checkpoint}"
        lines.append(f"run     {plain(run.run_id)} {where}")
    for plugin in facts.plugins:
        held = count(plugin.num_files, "file") if plugin.num_files else plugin.install[-1]
        brings = ", ".join(plugin.brings)
        lines.append(plain(f"plug-in {plugin.name} {plugin.version} ({brings}): {held}"))
    lines += [f"gives   harness {plain(shlex.join(words))}" for words in facts.commands]
    lines += [f"note    {plain(notice)}" for notice in facts.notices]
    return lines
