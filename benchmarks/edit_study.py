"""What an edit keeps and how far it follows its sound, by what is kept of the image (`tiny`).

`python benchmarks/edit_study.py RUN [FIRST LAST]`: these pictures of the embedded corpus are edited
towards a sound of another class; rows of others that were measured before stay. Layout: correlation
of the edges with the picture's. Fit: cosine similarity of the judges' embeddings of the image and
of the sound, also before the edit.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from core.choices import KeptAttention
from core.embedded.corpus.classes import CLASSES
from core.embedded.corpus.pairs import pair_clip, pair_image
from core.foundation.sources import resolve_source
from harness.generate.edit import EditOptions, edit
from harness.generate.sounds import Sound
from harness.metrics.scorers.judges import AudioJudge, ImageJudge

_WAYS = (
    (KeptAttention.NONE, 0.5),
    (KeptAttention.SELF, 0.5),
    (KeptAttention.CROSS, 0.5),
    (KeptAttention.ALL, 0.5),
    (KeptAttention.ALL, 1.0),
    (KeptAttention.FEATURES, 0.5),
    (KeptAttention.FEATURES, 1.0),
)
_STRENGTH = 0.8
_STEPS = 10


def main(run: Path, first: int, last: int) -> None:
    """Measure these pictures and write all rows into `benchmarks/results`."""
    device = torch.device("cpu")
    looks = ImageJudge(resolve_source("embedded:image_judge"), device=device)
    hears = AudioJudge(resolve_source("embedded:audio_judge"), device=device)
    names = sorted(CLASSES)
    out = Path(__file__).parent / "results" / "edit_study.json"
    rows = json.loads(out.read_text())["rows"] if out.is_file() else []
    rows = [row for row in rows if not first <= row["picture"] <= last]
    with tempfile.TemporaryDirectory() as scratch:
        picture, edited_file = Path(scratch) / "picture.png", Path(scratch) / "edited.png"

        def fit(path: Path, sound_D: np.ndarray) -> float:
            image_D = looks.read([path]).embeddings[0]
            return float(image_D @ sound_D / np.linalg.norm(image_D) / np.linalg.norm(sound_D))

        for index in range(first, last + 1):
            own, other = names[index % len(names)], names[(index + 3) % len(names)]
            image = pair_image(own, seed=0, namespace="edit study", index=index)
            Image.fromarray(image).save(picture)
            clip = pair_clip(other, seed=0, namespace="edit study", index=index)
            sound_D = hears.embed([clip])[0]
            before = fit(picture, sound_D)
            for kept, until in _WAYS:
                options = EditOptions(
                    strength=_STRENGTH, steps=_STEPS, kept=kept, kept_until=until, audio_scale=1.5
                )
                found = edit(run, image=picture, sound=Sound((), clip), options=options)
                Image.fromarray(found.image_HWC).save(edited_file)
                row = {
                    "picture": index,
                    "kept": kept.value,
                    "until": until,
                    "layout": found.layout_kept,
                    "fit": fit(edited_file, sound_D),
                    "fit_before": before,
                }
                rows.append(row)
                print(row, flush=True)
    for kept, until in _WAYS:
        own_rows = [row for row in rows if (row["kept"], row["until"]) == (kept.value, until)]
        layout, fits = ([row[name] for row in own_rows] for name in ("layout", "fit"))
        print(kept.value, until, len(own_rows), np.mean(layout), np.mean(fits))
    out.write_text(
        json.dumps({"strength": _STRENGTH, "steps": _STEPS, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[2:4]] or [0, 7]
    main(Path(sys.argv[1]), numbers[0], numbers[1])
