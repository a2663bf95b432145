"""The harness's log-mel against transformers' extractor of the same features, and CLAP's.

`core.features.log_mel` computes what transformers' `ASTFeatureExtractor` does (Kaldi's filter bank,
128 bands, 1,024 frames of 16 kHz): torch in float32 against numpy in float64, a frame at a time.
CLAP's own spectrogram is not recomputed: the harness calls `ClapFeatureExtractor` once per clip
and caches what CLAP makes of it. Its cost is listed for scale.
"""

import numpy as np

from benchmarks.speed.table import Row
from benchmarks.speed.timing import Ratio, in_turn

CLIPS_A_ROUND = 20
DURATION_S, RATE_HZ, CLAP_HZ = 10, 16_000, 48_000


def sounds(rate_hz: int) -> list[np.ndarray]:
    """Noise, tones, sweeps and steps of 10 s, float32."""
    time = np.arange(DURATION_S * rate_hz) / rate_hz
    found = []
    for number in range(CLIPS_A_ROUND):
        draw = np.random.default_rng(number)
        tone = 0.3 * np.sin(2 * np.pi * draw.uniform(100, 4_000) * time * (1 + number % 3 * time))
        noise = draw.normal(0, draw.uniform(0.003, 0.1), len(time))
        found.append(((time > draw.uniform(0, 5)) * tone + noise).astype(np.float32))
    return found


def rows(*, pairs: int) -> list[Row]:
    """Ratio of CPU time, and the largest difference in dB."""
    import torch
    from transformers import ASTFeatureExtractor, ClapFeatureExtractor

    from core.features.log_mel import LogMelSettings, log_mel

    settings = LogMelSettings()
    ast = ASTFeatureExtractor(do_normalize=False)
    clap = ClapFeatureExtractor(frequency_min=50, truncation="rand_trunc", padding="repeatpad")
    heard, of_clap = sounds(RATE_HZ), sounds(CLAP_HZ)

    def ours() -> list[torch.Tensor]:
        return [log_mel(torch.from_numpy(sound)[None], settings=settings)[0] for sound in heard]

    def theirs() -> list[torch.Tensor]:
        return [
            ast(sound, sampling_rate=RATE_HZ, return_tensors="pt")["input_values"][0]
            for sound in heard
        ]

    def theirs_of_clap() -> None:
        for sound in of_clap:
            clap(sound, sampling_rate=CLAP_HZ, return_tensors="pt")

    times = in_turn({"ours": ours, "AST": theirs, "CLAP": theirs_of_clap}, pairs=pairs)
    in_db = 10 / np.log(10)
    num_frames = 1 + (DURATION_S * RATE_HZ - 400) // 160  # the rest is padding, the same in both
    differences = [
        ((mine * settings.std + settings.mean).T - other)[:num_frames].abs().numpy() * in_db
        for mine, other in zip(ours(), theirs(), strict=True)
    ]
    ratio = Ratio.of(times["AST"], times["ours"])
    of_clip = {name: 1e3 * float(np.median(t)) / CLIPS_A_ROUND for name, t in times.items()}
    largest = float(max(d.max() for d in differences))
    numbers = {
        "cpu_ms_a_clip": of_clip,
        "largest_difference_db": largest,
        "difference_db_99.99_percent": float(np.quantile(np.stack(differences), 0.9999)),
        "clips": CLIPS_A_ROUND,
        "pairs": pairs,
    }
    return [
        Row(
            "log-mel of 10 s, transformers' AST extractor over ours",
            ratio.median,
            "x",
            4.0,
            spread=(ratio.low, ratio.high),
            about=__doc__ or "",
            numbers=numbers,
        ),
        Row("the same, largest difference", largest, "dB", 1e-3, is_floor=False, numbers=numbers),
    ]
