"""The page on which listeners vote: one file that needs no network and keeps what is behind it."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from core.data.media.errors import MediaError
from core.errors import DataError, UsageError
from core.files import write_atomic
from harness.report.page.media import MediaStore, picture, sound
from harness.votes.answers import FORMAT
from harness.votes.choose import Ballot
from harness.votes.plan import Trial

_SPECIAL = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
"""In JSON inside a script element."""


def write_ballot(ballot: Ballot, *, out: Path, max_bytes: int) -> Path:
    """Write the page to `out`.

    Which branch made which image is not in it: images are told apart by side alone, and their
    files are named by their content.

    Raises:
        DataError: a sound or a picture cannot be read.
        UsageError: the page would be larger than `max_bytes`.
    """
    media = MediaStore()
    sounds: dict[str, str] = {}
    trials = [
        _trial(trial, ballot=ballot, media=media, sounds=sounds) for trial in ballot.plan.trials
    ]
    used = {key for trial in trials for key in (trial["sound"], *trial["images"])}
    content = {
        "format": FORMAT,
        "plan": ballot.plan.plan_id,
        "trials": trials,
        "media": {key: media.url(key) for key in sorted(used)},
    }
    text = json.dumps(content, separators=(",", ":"))
    for letter, escaped in _SPECIAL.items():
        text = text.replace(letter, escaped)
    page = (
        _environment()
        .get_template("ballot.html.j2")
        .render(content=Markup(text), num_trials=len(trials))
        .encode()
    )
    if len(page) > max_bytes:
        raise UsageError(
            f"the page would have {len(page) / 1e6:.0f} MB, more than {max_bytes / 1e6:.0f}; lower "
            "--trials or raise --max-mb"
        )
    write_atomic(out, content=page)
    return out


def _trial(
    trial: Trial, *, ballot: Ballot, media: MediaStore, sounds: dict[str, str]
) -> dict[str, Any]:
    path = ballot.split.root / ballot.split.samples[trial.sample_id].audio_path
    if trial.sample_id not in sounds:
        try:
            content, _ = sound(path, window_s=ballot.window_s)
        except MediaError as error:
            raise DataError(f"{path}: {error}") from error
        sounds[trial.sample_id] = media.add(content, suffix="mp3")
    shown = [trial.first, trial.second]
    keys = []
    for one in shown if trial.is_first_left else reversed(shown):
        image, suffix = picture(ballot.image(one))
        keys.append(media.add(image, suffix=suffix))
    return {"id": trial.id, "sound": sounds[trial.sample_id], "images": keys}


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("harness.report.votes", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
