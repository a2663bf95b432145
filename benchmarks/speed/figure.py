"""The ratios of the table as a picture: how many times cheaper each is, with its goal."""

from pathlib import Path

from benchmarks.speed.table import Row

SHOWN = {
    "a step of SD v1.5": "training step at SD v1.5's size\nover VAE, CLIP and CLAP in each step",
    "log-mel of 10 s": "log-mel of 10 s\nover transformers' AST extractor",
    "librosa and Pillow": "cleaning and log-mel of a pair\nover librosa and Pillow, unchecked",
    "Frechet distance, n = 664": "Frechet distance, 664 images, d = 2,048\nover scipy's sqrtm",
}
"""By the beginning of a row's name, what the picture calls it: ours, over what."""
INK, FAINT, GOAL = "#1b4965", "#c9d6df", "#c1121f"


def draw(rows: list[Row], *, out: Path) -> bool:
    """Write a PNG, rows that were not measured left out; False, and no file, without any."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shown = [
        (label, row)
        for start, label in SHOWN.items()
        for row in rows
        if row.name.startswith(start) and row.unit == "x"
    ]
    if not shown:
        return False
    figure, axes = plt.subplots(figsize=(7.2, 0.72 * len(shown) + 0.9), dpi=110)
    for place, (_, row) in enumerate(reversed(shown)):
        axes.barh(place, row.found - 1, left=1, height=0.55, color=INK, zorder=2)
        if row.spread is not None:
            axes.hlines(place, *row.spread, color=FAINT, linewidth=3, zorder=3)
        if row.goal is not None:
            axes.vlines(row.goal, place - 0.38, place + 0.38, color=GOAL, linewidth=2, zorder=4)
        farthest = max(row.found, row.goal or 0, *(row.spread or ()))
        axes.text(
            farthest * 1.08, place, f"{row.found:.3g} times", va="center", fontsize=9, color=INK
        )
    axes.set_yticks(range(len(shown)), [label for label, _ in reversed(shown)], fontsize=8.5)
    axes.set_xscale("log")
    axes.set_xlim(1, 3 * max(row.found for _, row in shown))
    axes.set_xticks(
        [1, 2, 5, 10, 20, 50, 100, 200], ["1", "2", "5", "10", "20", "50", "100", "200"]
    )
    axes.minorticks_off()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("times the CPU time of ours (log scale; red: the goal)", fontsize=8.5)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Software": None})
    plt.close(figure)
    return True
