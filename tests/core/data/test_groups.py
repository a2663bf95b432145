"""Groups of linked things."""

import numpy as np

from core.data.groups import joined


def test_links_join_groups_and_the_least_place_leads() -> None:
    """Catches: a chain cut into its pairs, a head that depends on the order of the links."""
    alone = np.arange(6)
    assert list(joined(alone, [], [])) == [0, 1, 2, 3, 4, 5]
    chain = joined(alone, [5, 3, 4], [3, 1, 2])
    assert list(chain) == [0, 1, 2, 1, 2, 1]
    assert list(joined(chain, [4], [5])) == [0, 1, 1, 1, 1, 1]
    assert list(joined([], [], [])) == []
