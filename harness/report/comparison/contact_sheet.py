"""The contact sheet of a comparison: its runs' images beside the sounds and the real pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.data.media.decode_audio import decode_audio
from core.data.splits.split import Split
from harness.metrics.arms import Arm, ScoredClip
from harness.records.folders import RunFolder
from harness.records.image_names import file_stem
from harness.records.record import RunRecord
from harness.report.contact_sheet import MAX_ROWS, SheetRow, choose_clips, contact_sheet

_SHEET_CLIPS_PER_CLASS = 1


def draw_sheet(
    records: Sequence[RunRecord], *, folders: Mapping[str, Path], split: Split, out: Path
) -> Path:
    """Sound, real picture and each branch's image of some test clips, for the first seed.

    folders: where each run lies, by run id.
    """
    seed = min(r.identity.seed for r in records)
    of_seed = {r.identity.variant: r for r in records if r.identity.seed == seed}
    window_s = next(iter(of_seed.values())).identity.shared.window_s
    clips = choose_clips(
        [
            ScoredClip(
                sample_id=i,
                class_name=split.samples[i].class_name,
                caption=split.samples[i].caption,
            )
            for i in split.test
        ],
        per_class=_SHEET_CLIPS_PER_CLASS,
        most=MAX_ROWS,
    )

    def images(sample_id: str, arm: Arm) -> dict[str, Path]:
        paths = {
            branch: RunFolder(folders[r.run_id]).images / arm / f"{file_stem(sample_id)}-0.png"
            for branch, r in of_seed.items()
        }
        return {branch: path for branch, path in paths.items() if path.is_file()}

    rows = [
        SheetRow(
            label=clip.class_name.replace("_", " "),
            sample_id=clip.sample_id,
            real=split.root / split.samples[clip.sample_id].image_path,
            images=images(clip.sample_id, Arm.AUDIO),
            waveform=decode_audio(
                split.root / split.samples[clip.sample_id].audio_path, window_s=window_s
            ),
            shuffled=images(clip.sample_id, Arm.SHUFFLED),
        )
        for clip in clips
    ]
    profile = records[0].identity.profile
    title = f"Test clips chosen by hash, seed {seed}, profile {profile}"
    return contact_sheet(rows, columns=list(of_seed), out=out, title=title)
