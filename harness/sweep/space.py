"""From what a trial draws to the run that it is."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core.foundation.sources import resolve_source
from harness.run.plan import PlannedRun
from harness.settings.branch_config import toml_value
from harness.settings.load import parse_settings


def plan_trial(base: PlannedRun, settings: Mapping[str, Any]) -> PlannedRun:
    """The run of `base` with other settings of its variant: what `plan_run` gives, at no cost.

    Raises:
        UsageError: the variant refuses them.
    """
    if not settings:
        return base
    name = base.request.variant
    config = parse_settings(
        base.variant.Config,
        {**base.profile.variants.get(name, {}), **settings},
        what=f"setting of variant {name}, drawn by its search space:",
    )
    roles = set(base.config.sources())
    models = {role: found for role, found in base.identity.models.items() if role not in roles}
    models |= {role: resolve_source(name).fingerprint() for role, name in config.sources().items()}
    identity = base.identity.model_copy(
        update={"variant_config": config.model_dump(mode="json"), "models": models}
    )
    overrides = (*base.request.overrides, *override_words(settings))
    request = replace(base.request, overrides=overrides)
    return replace(base, request=request, config=config, identity=identity)


def override_words(settings: Mapping[str, Any]) -> list[str]:
    """`--set` words of a variant's settings; None is written as "none"."""
    return [f"variant.{key}={toml_value(value)}" for key, value in settings.items()]
