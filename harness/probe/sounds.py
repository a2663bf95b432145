"""Which sounds are probed: a user's own, or test clips of the first run's split."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from core.data.media.decode_audio import decode_audio
from core.data.media.errors import MediaError
from core.errors import DataError
from core.files import file_sha256
from harness.generate.sounds import windows_of
from harness.probe.probe import ProbeSound
from harness.records.names import split_of
from harness.records.record import load_record


def own_sounds(files: Sequence[Path], *, window_s: float, text: str) -> list[ProbeSound]:
    """The first window of each file.

    Raises: DataError for a file that cannot be decoded.
    """
    found = []
    for path in files:
        (sound, *_), _ = windows_of(path, window_s=window_s, most=1)
        (part,) = sound.parts
        found.append(
            ProbeSound(
                label=sound.label, sha256=part.sha256, waveform_S=sound.waveform_S, text=text
            )
        )
    return found


def clip_sounds(folder: Path, *, most: int, window_s: float) -> list[ProbeSound]:
    """Test clips of a run's split with their captions: by hash of their ids, classes in turn.

    Raises: DataError where the split or a clip is gone.
    """
    record = load_record(folder)
    split = split_of(record, results=folder.resolve().parents[1])
    by_class: dict[str, list[str]] = {}
    for sample_id in sorted(split.test, key=lambda i: hashlib.sha256(i.encode()).digest()):
        by_class.setdefault(split.samples[sample_id].class_name, []).append(sample_id)
    depth = max(map(len, by_class.values()))
    in_turn = [
        of_class[index]
        for index in range(depth)
        for _, of_class in sorted(by_class.items())
        if index < len(of_class)
    ]
    found = []
    for sample_id in in_turn[:most]:
        sample = split.samples[sample_id]
        path = split.root / sample.audio_path
        try:
            waveform_S = decode_audio(path, window_s=window_s)
        except MediaError as error:
            raise DataError(f"{path}: {error}") from error
        label = f"{sample.class_name.replace('_', ' ')} {sample_id}"
        found.append(
            ProbeSound(
                label=label, sha256=file_sha256(path), waveform_S=waveform_S, text=sample.caption
            )
        )
    return found
