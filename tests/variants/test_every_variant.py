"""The contract, for each variant of this repository; a new folder joins by itself."""

from collections.abc import Mapping
from typing import Any

from harness.branches.registry import registrations
from harness.testing import VariantContract

SMALL: dict[str, Mapping[str, Any]] = {
    "baseline": {"hidden_dim": 32},
    "sonic": {"hidden_dim": 32},
    "cutting_edge": {"size": "own", "width": 16, "depth": 2, "state_dim": 4, "patch": (8, 8)},
}
"""Settings that make a variant small; one that is not named is tried as it comes."""

# Other ways through the same code, each as its own variant under the contract.
ALSO: dict[str, tuple[str, Mapping[str, Any]]] = {
    "sonic_from_zero": ("sonic", {"gate_init": 0.0, "layers": "mid_up"}),
    "cutting_edge_from_zero": ("cutting_edge", {"gate_init": 0.0, "tokens": "all"}),
    "sonic_paper": ("sonic", {"projector": "paper", "hidden_dim": None}),
    "cutting_edge_aum": ("cutting_edge", {"layout": "aum", "block": "v1", "audio": "msclap"}),
    "cutting_edge_mamba2": ("cutting_edge", {"layout": "plain", "block": "mamba2"}),
    "cutting_edge_timed": ("cutting_edge", {"position": "sinusoidal", "tokens": "all"}),
    "text_only_ssf": ("text_only", {"adapt": "ssf"}),
}


def _contracts() -> dict[str, type[VariantContract]]:
    """A test class for each variant, named after it."""
    cases = {name: (name, {}) for name, found in registrations().items() if found.is_built_in}
    found = {}
    for case, (name, settings) in {**cases, **ALSO}.items():
        title = "Test" + "".join(word.capitalize() for word in case.split("_"))
        body = {
            "variant": registrations()[name].load(),
            "config": {**SMALL.get(name, {}), **settings},
            "__module__": __name__,
        }
        found[title] = type(title, (VariantContract,), body)
    return found


globals().update(_contracts())


def test_every_variant_of_the_repository_is_under_contract() -> None:
    """Catches: a variant that is found and never checked."""
    checked = {value.variant.name for key, value in globals().items() if key.startswith("Test")}
    assert checked == {name for name, found in registrations().items() if found.is_built_in}
    assert {"baseline", "sonic", "cutting_edge", "text_only", "class_embedding"} <= checked
