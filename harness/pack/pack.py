"""Makes a pack."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import MismatchError
from core.files import file_sha256
from harness.archive.write import Member, write_archive
from harness.data.source import PreparedSplit, prepare_split
from harness.pack.command import Command, Packed, folder_of, weights_words
from harness.pack.contents import FACTS, SCRIPT, TASK, WORK, DataMode, PackFacts
from harness.pack.data import PackedData, packed_data
from harness.pack.encode import branches_of, encode_missing
from harness.pack.models import packed_models
from harness.pack.plugins import Plugins, packed_plugins
from harness.pack.runs import RunToPack, named_runs, open_runs
from harness.pack.script import TASK as TASK_TEXT
from harness.pack.script import script_text
from harness.pack.source import harness_version, project_members
from harness.settings.load import load_profile
from harness.wording.display import Display


@dataclass(frozen=True, kw_only=True)
class PackRequest:
    """What is packed."""

    words: tuple[str, ...]
    """The command that goes on there, after `harness`; empty: that of each run in `runs`."""
    runs: tuple[str, ...]
    """Runs to take along, by name; empty: every half-finished one of the command's split."""
    results: Path
    """Where the runs lie, when no command says so."""
    data: DataMode
    """What of the data goes along."""
    encodes: bool = True
    """Whether features that the cache lacks are computed first, where any go along."""


@dataclass(frozen=True, kw_only=True)
class Pack:
    """A pack that was made."""

    path: Path
    """The file."""
    sha256: str
    """Of the file."""
    num_bytes: int
    """Its size."""
    facts: PackFacts
    """What is in it."""


def make_pack(request: PackRequest, *, out: Path, display: Display) -> Pack:
    """Write the pack to `out`.

    Raises:
        UsageError: a command that cannot be packed, or an unknown run.
        MismatchError: a run of another split than the commands are of.
        DataError: data or a checkpoint that is damaged.
        BusyError: a process works on a run.
    """
    named = named_runs(request.runs, results=request.results)
    commands = [Command.of(request.words)] if request.words else _commands_of(named)
    prepared = _prepared(commands, display=display) if commands else None
    runs = named
    if prepared is not None and not named:
        results = folder_of(commands[0])
        runs = open_runs(results, split_hash=prepared.split.hash)
    packed = Packed()
    words = [packed.words(command) for command in commands]
    weights = [
        weights_words(command, profile=own[own.index("--profile") + 1])
        if "--profile" in own
        else weights_words(command, profile=command.profile)
        for command, own in zip(commands, words, strict=True)
    ]
    plugins = _plugins(runs, commands)
    data, notices = PackedData((), {}), []
    if prepared is not None:
        if request.encodes and request.data is not DataMode.NONE:
            notices = encode_missing(commands, display=display)
        _require_same_split(runs, prepared)
        models = packed_models(commands) if request.data is not DataMode.NONE else None
        if models is None and request.data is not DataMode.NONE:
            notices.append(
                "cached features of every model go along, for the models of the packed runs are "
                "not on this machine to know theirs by"
            )
        data = packed_data(
            prepared, results=folder_of(commands[0]), mode=request.data, models=models
        )
    facts = PackFacts(
        made_by=harness_version(),
        commands=words,
        weights=[list(own) for own in dict.fromkeys(map(tuple, weights))],
        data=request.data,
        split_hash=None if prepared is None else prepared.split.hash,
        rows=data.rows,
        runs=[run.facts() for run in runs],
        plugins=list(plugins.facts),
        notices=[*_notices(commands, mode=request.data), *plugins.notices, *notices],
    )
    script = script_text(weights=facts.weights, commands=facts.commands, plugins=facts.plugins)
    members = [
        Member(FACTS, (facts.model_dump_json(indent=2) + "\n").encode()),
        Member(SCRIPT, script.encode(), is_program=True),
        Member(TASK, TASK_TEXT.encode(), is_program=True),
        *project_members(),
        *plugins.members,
        *packed.members.values(),
        *data.members,
        *(member for run in runs for member in run.members()),
    ]
    write_archive(
        out,
        members=members,  # each is read twice
        progress=lambda done, n: display.phase("packing MB", done // 2_000_000, n // 2_000_000),
    )
    return Pack(path=out, sha256=file_sha256(out), num_bytes=out.stat().st_size, facts=facts)


def _commands_of(runs: Sequence[RunToPack]) -> list[Command]:
    return [Command.of(run.command()) for run in runs if not run.is_finished]


def _prepared(commands: Sequence[Command], *, display: Display) -> PreparedSplit:
    """The one split of the commands.

    Raises:
        MismatchError: they are of several.
    """
    found = [
        prepare_split(
            command.last("--data"),
            settings=load_profile(command.profile, overrides=command.overrides).data,
            results=folder_of(command),
            progress=display.phase,
        )
        for command in commands
    ]
    if len({prepared.split.hash for prepared in found}) > 1:
        raise MismatchError("the runs are of different splits; make a pack of each")
    return found[0]


def _require_same_split(runs: Sequence[RunToPack], prepared: PreparedSplit) -> None:
    for run in runs:
        if run.identity.split_hash != prepared.split.hash:
            raise MismatchError(
                f"{run.folder.name} was made on another split than the command names "
                f"({run.identity.split_hash[:12]}... against {prepared.split.hash[:12]}...); pack "
                "it by itself, or give its own --data"
            )


def _plugins(runs: Sequence[RunToPack], commands: Sequence[Command]) -> Plugins:
    foundations = [run.identity.settings.get("foundation", {}) for run in runs]
    return packed_plugins(
        branches=[
            *(name for command in commands for name in branches_of(command)),
            *(run.identity.variant for run in runs),
        ],
        commands=commands,
        separators_used=[own["separator"] for own in foundations if own.get("separator")],
    )


def _notices(commands: Sequence[Command], *, mode: DataMode) -> list[str]:
    notices = []
    if mode is DataMode.NONE and commands:
        notices.append(
            "no sounds and pictures are in it: put them into work/data/media there, as the lock "
            "names them"
        )
    if mode is DataMode.FEATURES:
        notices.append(
            "the clips that are trained on are in it as features alone; what is missing among "
            "those cannot be computed there"
        )
    for command in commands:
        for item in command.options.get("--set", []):
            value = item.partition("=")[2].strip()
            path = Path(value).expanduser()
            if value and path.is_dir():
                place = path if path.is_absolute() else Path(WORK) / path
                notices.append(f"{shlex.quote(value)} has to be there as well, at {place}")
    return list(dict.fromkeys(notices))
