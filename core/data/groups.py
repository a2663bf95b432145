"""Groups of things that are linked in pairs."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Places = NDArray[np.int64]


def joined(head_N: ArrayLike, first_P: ArrayLike, second_P: ArrayLike) -> Places:
    """Head [N] of each thing's group, the least place in it, once P pairs of places are linked.

    head_N: the heads before; `np.arange(N)` where nothing is linked yet.
    """
    head_N = np.asarray(head_N, dtype=np.int64)
    rows = np.concatenate([np.arange(len(head_N)), np.asarray(first_P, dtype=np.int64)])
    columns = np.concatenate([head_N, np.asarray(second_P, dtype=np.int64)])
    links = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(head_N),) * 2)
    group_N = connected_components(links, directed=False)[1]
    least_G = np.unique(group_N, return_index=True)[1]
    return np.asarray(least_G[group_N], dtype=np.int64)
