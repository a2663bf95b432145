"""What a variant promises, as tests: derive from `VariantContract` in a test module of yours.

    from harness.testing import VariantContract
    from my_branch import VARIANT

    class TestMyBranch(VariantContract):
        variant = VARIANT
        config = {"hidden_dim": 32}

It runs on small real models of its own, on the CPU, offline, in seconds. docs/variants.md lists
the promises. `MetricContract` does the same for a metric (docs/metrics.md).
"""

from importlib.util import find_spec

if find_spec("pytest") is None:
    raise ModuleNotFoundError(
        "harness.testing needs pytest, which is not installed; `pip install pytest`"
    )

from harness.testing.contract import VariantContract, violations
from harness.testing.metric_contract import MetricContract
from harness.testing.small import SmallFoundation

__all__ = ["MetricContract", "SmallFoundation", "VariantContract", "violations"]
