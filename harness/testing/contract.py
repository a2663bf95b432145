"""The contract of a variant: every promise a test, with a sentence for the one who breaks it."""

from collections.abc import Callable

import pytest

from harness.testing.answer import AnswerChecks
from harness.testing.conditioning import ConditioningChecks
from harness.testing.keeping import KeepingChecks
from harness.testing.on_gpu import GpuChecks
from harness.testing.own_terms import OwnTermChecks
from harness.testing.settings import SettingsChecks


class VariantContract(
    ConditioningChecks, AnswerChecks, OwnTermChecks, KeepingChecks, SettingsChecks, GpuChecks
):
    """Derive a class named `Test...` and set `variant`; pytest then checks every promise.

    variant: the class. config: its settings, small ones are faster. foundation: the models it is
    tried on; change sizes that the variant cannot do with.
    """


def violations(contract: type[object]) -> dict[str, str]:
    """The checks that fail, by name, with the sentence of each; skipped ones are left out."""
    found = {}
    for name in sorted(n for n in dir(contract) if n.startswith("test_")):
        check: Callable[[], None] = getattr(contract(), name)
        try:
            check()
        except pytest.skip.Exception:
            continue
        except Exception as error:
            found[name] = str(error) or type(error).__name__
    return found
