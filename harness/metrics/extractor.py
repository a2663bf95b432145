"""Which scorers a metric reads; what is missing where one was not loaded."""

from enum import StrEnum


class Extractor(StrEnum):
    """Which scorers a metric reads."""

    CLIP = "clip"
    IMAGE_JUDGE = "image_judge"
    JOINT = "image_judge+audio_judge"  # or CLIP and Wav2CLIP, or PE-AV
    SOURCE_JUDGE = "source_judge"
    INCEPTION = "inception"
    DINOV2 = "dinov2"
    LPIPS = "lpips"
    PICTURE = "picture"
    SOUND_AND_PICTURE = "sound+picture"
    PIXELS = "pixels"  # no scorer: the image files themselves
    OBJECTIVE = "denoising loss"  # no scorer: the training objective itself


MISSING = {
    Extractor.IMAGE_JUDGE: "this profile has no image judge",
    Extractor.JOINT: "no scorer of sound: the CLAP that conditions must not also judge; name "
    "Wav2CLIP's folder with --set scorers.wav2clip=, or PE-AV's with --set scorers.pe_av=",
    Extractor.SOURCE_JUDGE: "this profile has no judge that tells several sources in one picture",
    Extractor.INCEPTION: "no Inception-v3 weights; name their folder with --set scorers.inception=",
    Extractor.DINOV2: "no DINOv2 weights; name them with --set scorers.dinov2=",
    Extractor.LPIPS: "no LPIPS weights; name their folder with --set scorers.lpips=",
    Extractor.PICTURE: "no picture classifier; name its folder with --set scorers.picture=",
    Extractor.SOUND_AND_PICTURE: "no sound encoder with a picture classifier; name their folders "
    "with --set scorers.sound= and --set scorers.picture=",
}
"""Why a metric is absent whose scorer was not loaded."""
