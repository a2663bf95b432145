"""What an undecided comparison would take: of the pair that keeps it undecided."""

from benchmarks.stand_in import World, experiment
from harness.statistics.outcome import Outcome


def test_the_pair_that_keeps_it_undecided_is_the_one_to_settle() -> None:
    """Catches: seeds advised for a pair that is decided long since, or for two losers."""
    world = World(effects=(0.6, 0.58, -1.5, -1.52), training_sd=0.05)
    found = experiment(world, repeat=0)
    open_pairs = [
        {pair.first, pair.second} for pair in found.pairs if pair.verdict is Outcome.UNDECIDED
    ]
    assert open_pairs == [{"branch_a", "branch_b"}, {"branch_c", "branch_d"}]
    assert found.to_add is not None
    assert "between branch_a and branch_b and its spread" in found.to_add.sentence
