"""`harness data ...`: from dirty folders to a locked split."""

from pathlib import Path
from typing import Annotated

import typer

from core.data.items import Reason, Status
from harness.cli.commands import data_audit, data_cache, data_correct, data_diff, data_split
from harness.cli.commands.data_clean import clean
from harness.cli.commands.options import AsJson, print_result

DataFolder = Annotated[Path, typer.Argument(help="The folder that `ingest --out` made.")]

data_app = typer.Typer(
    name="data",
    help="Turn folders, lists, videos and shards into a locked, balanced split: ingest, clean, "
    "audit, exclude, relabel, split, diff, verify. Originals are only read.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@data_app.command()
def ingest(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Folders, metadata JSON, CSV lists, videos or tar shards."),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the manifest and for media cut out of videos.")
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            help="Read all sources as this kind: metadata, classes, pairs, vggsound, audiocaps, "
            "audioset, vggsounder, videos or webdataset. By default the kind of each is detected."
        ),
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option("--class", help="Class of every item whose source does not name one."),
    ] = None,
    label_file: Annotated[
        Path | None, typer.Option(help="CSV rows `id,label`; the id may be a file's stem.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--label-map",
            "--labels",
            help="Map from the sources' labels to classes: a TOML file or the name of a shipped "
            "map. A label that it does not list exactly is left out.",
        ),
    ] = None,
    media: Annotated[
        Path | None, typer.Option(help="Folder of the files that a CSV list names.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the pictures that belong to a folder of sounds.")
    ] = None,
    window_s: Annotated[
        float, typer.Option(min=0.5, help="Seconds of sound to cut out of each video.")
    ] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Read sources of any kind into DIR/manifest.parquet, one row per item.

    Only videos are decoded; your files are not moved, copied or changed. Run the same command
    again to bring the folder up to date; `harness data clean` comes next.
    """
    from core.data.ingest.ingest import ingest as ingest_sources
    from core.data.ingest.ingest import require_apart
    from core.data.ingest.label_file import read_label_file
    from core.data.ingest.source import Options
    from core.data.labels import load_label_map
    from harness.data.clean import require_window
    from harness.records.lock import held
    from harness.report.terminal import data as data_show
    from harness.wording.display import open_display

    require_window(window_s)
    with open_display() as display:
        options = Options(
            class_name=class_name,
            label_of={} if label_file is None else read_label_file(label_file),
            labels=None if labels is None else load_label_map(labels),
            media=media,
            images=images,
            window_s=window_s,
            progress=display.phase,
        )
        require_apart(sources, out, options=options)  # before anything is written
        with held(out, create=True):
            found = ingest_sources(sources, out, options=options, kind=kind)
    print_result(
        data_show.ingested(found, folder=out),
        as_json=as_json,
        data=data_show.ingested_data(found, folder=out),
    )


@data_app.command()
def show(
    folder: DataFolder,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Only items of this class.")
    ] = None,
    status: Annotated[Status | None, typer.Option(help="Only items of this status.")] = None,
    reason: Annotated[
        Reason | None, typer.Option(help="Only items excluded for this reason.")
    ] = None,
    flag: Annotated[
        str | None, typer.Option(help="Only items with this flag from cleaning.")
    ] = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="Show everything about the items with this id.")
    ] = None,
    page: Annotated[int, typer.Option(min=1, help="Page of the rows to show.")] = 1,
    rows: Annotated[int, typer.Option(min=0, help="Rows per page.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what a data folder holds: counts by class and reason, and its rows."""
    from core.data.manifest import Manifest
    from harness.report.terminal import data as data_show

    manifest = Manifest.load(folder)
    chosen = data_show.Choice(
        class_name=class_name, status=status, reason=reason, flag=flag, id=id_, page=page, rows=rows
    )
    print_result(
        data_show.manifest(manifest, folder=folder, choice=chosen),
        as_json=as_json,
        data=data_show.manifest_data(manifest, folder=folder, choice=chosen),
    )


data_app.command()(clean)


data_app.command("audit")(data_audit.audit)
data_app.command()(data_correct.exclude)
data_app.command()(data_correct.relabel)
data_app.command("split")(data_split.split)
data_app.command()(data_diff.diff)
data_app.command("verify")(data_split.verify)
data_app.command("cache")(data_cache.cache)
