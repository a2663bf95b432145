"""`harness demo`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from core.errors import UsageError
from harness.cli.commands.options import AsJson, DeviceOption, Results


def demo(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Finished runs: id, the start of an id, or path; side by side."
        ),
    ],
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to serve on.")] = 7860,
    host: Annotated[
        str, typer.Option(help="Address to serve on; others than this machine need a password.")
    ] = "127.0.0.1",
    password_file: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, help="A file whose first line is the password of user 'demo'."
        ),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    max_mb: Annotated[float, typer.Option(min=0.1, help="Maximum size of a sound.")] = 20.0,
    max_seeds: Annotated[int, typer.Option(min=1, max=16, help="Maximum number of noises.")] = 4,
    results: Results = Path("results"),
    device: DeviceOption = None,
    as_json: AsJson = False,
) -> None:
    """Serve a page where a recorded or dropped sound is answered by branches, side by side.

    Needs the extra `demo`. Only this machine reaches it unless --host says otherwise. It says where
    once it answers (--json: as one object), and serves until it is stopped.
    """
    from harness.demo.page import build_page, launch, require_gradio, require_safe
    from harness.demo.respond import Limits, Responder
    from harness.generate.answer import require_sound
    from harness.generate.generate import window_of
    from harness.generate.trained import loaded_branch
    from harness.records.names import run_folders
    from harness.records.record import load_record
    from harness.report.generated import run_names
    from harness.run.device import training_device

    password = _password(password_file)
    require_safe(host, password=password)
    require_gradio()
    folders = run_folders(runs, results=results)
    where = training_device(device)
    for folder in folders:  # what cannot answer is said now, and not to the first visitor
        with loaded_branch(folder, device=where) as branch:
            require_sound(branch)
    names = run_names({f.name: load_record(f).identity.variant for f in folders})
    limits = Limits(max_bytes=int(max_mb * 1e6), max_seeds=max_seeds)
    responder = Responder(
        {names[folder.name]: folder for folder in folders},
        window_s=window_of(folders),
        device=where,
        limits=limits,
    )
    page = build_page(responder)
    launch(
        page,
        host=host,
        port=port,
        password=password,
        opens_browser=browser,
        limits_bytes=limits.max_bytes,
        is_blocking=False,
    )
    url = f"http://{host}:{port}"
    if as_json:
        needs_password = password is not None
        print(json.dumps({"url": url, "branches": list(responder.runs),
                          "needs_password": needs_password}), flush=True)  # fmt: skip
    else:
        typer.echo(f"serving on {url}; Ctrl-C stops it", err=True)
    page.block_thread()


def _password(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        lines = path.expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--password-file {path} cannot be read: {error}") from None
    if not lines or not lines[0].strip():
        raise UsageError(f"--password-file {path} is empty; write the password on its first line")
    return lines[0].strip()
