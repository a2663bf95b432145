"""One question on several splits: the same branches and seeds, compared on each division."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.files import expanded
from harness.comparison.compare import Comparison, compare
from harness.comparison.request import CompareRequest
from harness.comparison.splits import SplitShare, split_shares, with_other_splits
from harness.wording.display import Display

_SETTING = "data.split_seed"


@dataclass(frozen=True)
class OverSplits:
    """Comparisons of one question on several splits."""

    comparisons: Sequence[Comparison]
    """By seed of the split, from 0 on."""
    shares: Sequence[SplitShare]
    """Of each pair that every split has: its spread over splits, and what explains it."""

    def data(self) -> dict[str, Any]:
        """For scripts: what the splits have in common."""
        return {
            "num_splits": len(self.comparisons),
            "pairs": [
                {
                    "first": share.first,
                    "second": share.second,
                    "effects": {str(seed): effect for seed, effect in share.effects.items()},
                    "winners": {str(seed): name for seed, name in share.wins.items()},
                    "mean": share.mean,
                    "sd_over_splits": share.sd,
                    "sd_explained": share.explained_sd,
                    "split_share_of_variance": share.share,
                }
                for share in self.shares
            ],
        }


def requests_over_splits(request: CompareRequest, *, num_splits: int) -> list[CompareRequest]:
    """The request on each split; they differ in the seed of the split and in the name.

    Raises:
        UsageError: fewer than two splits, data that are divided already, a split that is named by
            hand, or a limit on hours or dollars, which holds for one comparison.
    """
    if num_splits < 2:
        raise UsageError(f"--split-seeds {num_splits}; expected at least 2 divisions of the data")
    if any(item.split("=")[0].strip() == _SETTING for item in request.overrides):
        raise UsageError(f"--split-seeds sets {_SETTING} itself; drop --set {_SETTING}")
    if request.data is not None and expanded(request.data).is_file():
        raise UsageError(
            f"{request.data} is a lock file: its clips are divided already. --split-seeds requires "
            "the folder of pairs"
        )
    if request.max_hours is not None or request.max_cost is not None:
        raise UsageError(
            "--max-hours and --max-cost limit one comparison, and --split-seeds makes one for each "
            "split; drop them, or compare split by split with --set data.split_seed=0, 1, ..."
        )
    found = []
    for seed in range(num_splits):
        name = request.options.name
        options = replace(request.options, name=None if name is None else f"{name}-split{seed}")
        overrides = (*request.overrides, f"{_SETTING}={seed}")
        found.append(replace(request, overrides=overrides, options=options))
    return found


def compare_over_splits(
    request: CompareRequest, *, num_splits: int, display: Display
) -> OverSplits:
    """Compare on each split in turn; every comparison then says what all of them found.

    Raises: as `requests_over_splits` and `compare`.
    """
    made: list[Comparison] = []
    for one in requests_over_splits(request, num_splits=num_splits):
        display.say(f"Split {len(made) + 1} of {num_splits} ({one.overrides[-1]})")
        made.append(compare(one, display=display))
    # The last one has seen them all; the others are told now.
    told = [_told(comparison, results=request.options.results) for comparison in made]
    return OverSplits(told, split_shares([comparison.record for comparison in told]))


def _told(comparison: Comparison, *, results: Path) -> Comparison:
    record = with_other_splits(comparison.record, results=results)
    if record is comparison.record:
        return comparison
    record.save(comparison.folder)
    return replace(comparison, record=record, is_stored=False)
