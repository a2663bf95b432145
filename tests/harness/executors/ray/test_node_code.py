"""What a node says that has other code than the coordinator."""

import pytest

from core.errors import MismatchError
from harness.executors.ray.node import Order, _require_code
from harness.run.code import code_of


def order(variant: str, code: dict[str, str]) -> Order:
    """An order of which the code alone matters."""
    return Order(
        key="k",
        name="n",
        words=[],
        working_folder=".",
        log="log",
        variant=variant,
        code=code,
        environment={},
        parcel=None,
    )


def test_a_node_without_a_plug_in_says_which_node_lacks_what() -> None:
    """Catches: a cluster of which one node lacks a package, and nobody can tell which."""
    own = code_of("baseline")
    _require_code(order("baseline", own), node="a1")
    with pytest.raises(MismatchError, match=r"on node a1, no variant named 'lamp'.*on every node"):
        _require_code(order("lamp", own), node="a1")
    with pytest.raises(MismatchError, match="node a1 has different metrics code"):
        _require_code(order("baseline", {**own, "metrics": "other"}), node="a1")
