"""How a variant is set up: settings, seed, search space."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from core.conditioning.variant import VariantConfig
from harness.testing.bench import Bench, require


class SettingsChecks(Bench):
    """Checks that need no forward pass."""

    def test_same_seed_builds_the_same_variant(self) -> None:
        """Initial weights follow from torch's seed and nothing else."""
        unet = self.foundation.unet()
        first = self.build(unet).state_dict()
        states = random.getstate(), np.random.get_state()
        random.seed(1)
        np.random.seed(1)
        try:
            second = self.build(unet).state_dict()
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
        differing = [
            n for n, t in first.items() if n not in second or not torch.equal(t, second[n])
        ]
        require(
            not differing and first.keys() == second.keys(),
            f"built twice from one seed, {', '.join(differing[:4])} differ: draw initial weights "
            "from torch's default generator, not from numpy, random or an unseeded generator",
        )

    def test_settings_are_documented_and_refuse_unknown_keys(self) -> None:
        """Each setting has its line, and a misspelt key is an error."""
        cls = self.variant
        require(
            bool(cls.summary) and "\n" not in cls.summary,
            "`summary` must be one line: `harness list` shows it",
        )
        silent = [name for name, field in cls.Config.model_fields.items() if not field.description]
        require(not silent, f"settings without a line of docs: {', '.join(silent)}")
        try:
            cls.Config(**{**self.config, "a_key_nothing_reads": 1})
        except ValidationError:
            return
        raise AssertionError(
            "Config accepts a key that nothing reads; derive it from `VariantConfig` and leave "
            "`extra` at forbid"
        )

    def test_search_space_yields_settings_it_can_be_built_from(self) -> None:
        """Random and extreme draws are fields of Config, and the variant is built from them."""
        optuna = pytest.importorskip(
            "optuna", reason="the search space is not checked: optuna is not installed"
        )
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        unet = self.foundation.unet()
        distributions: dict[str, Any] = {}
        for _ in range(5):
            trial = study.ask()
            self.try_settings(self.variant.search_space(trial), unet)
            distributions |= trial.distributions
        for name, distribution in distributions.items():
            for value in _extremes(distribution):
                study.enqueue_trial({name: value})
                self.try_settings(self.variant.search_space(study.ask()), unet)

    def test_default_settings_lie_in_the_search_space(self) -> None:
        """The branch as it is can be a sweep's first trial, so that the best is never worse."""
        optuna = pytest.importorskip(
            "optuna", reason="the search space is not checked: optuna is not installed"
        )
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        config = self.default_config()
        in_effect = config.in_effect()
        stated = {k: v for k, v in config.model_dump(mode="json").items() if v is not None}
        require(
            in_effect.keys() == type(config).model_fields.keys()
            and stated == {key: in_effect[key] for key in stated},
            "`in_effect` must give every setting, those that are set unchanged",
        )
        trial = optuna.create_study(sampler=_takes(in_effect, optuna=optuna)).ask()
        self.variant.search_space(trial)
        for name, distribution in trial.distributions.items():
            require(
                name not in in_effect or _contains(distribution, in_effect[name]),
                f"the search space leaves out {name} = {in_effect.get(name)!r}, which is the "
                f"default: widen {distribution}, or say in `in_effect` what an unset {name} "
                "stands for",
            )

    def default_config(self) -> VariantConfig:
        """The settings of a branch of which nothing is said; the test's own where some must be."""
        try:
            return self.variant.Config()
        except ValidationError:
            return self.variant.Config(**self.config)

    def try_settings(self, settings: Mapping[str, Any], unet: Any) -> None:
        """Build the variant from a draw of its search space."""
        fields = self.variant.Config.model_fields
        unknown = sorted(settings.keys() - fields.keys())
        require(
            not unknown,
            f"the search space draws {', '.join(unknown)}, which Config does not have; known: "
            f"{', '.join(fields)}",
        )
        try:
            with torch.device("meta"):
                self.build(unet, **settings)
        except Exception as error:
            raise AssertionError(
                f"the search space draws {dict(settings)}, from which the variant cannot be "
                f"built: {error}"
            ) from error
        unset = {name: "none" for name, value in settings.items() if value is None}
        if unset:
            as_text = {**self.config, **settings, **unset}
            try:
                found = self.variant.Config(**as_text)
            except ValidationError:
                found = None
            require(
                found == self.variant.Config(**{**self.config, **settings}),
                f"the search space leaves {', '.join(unset)} unset, which a file or --set writes "
                'as "none"; annotate it with NONE_BY_NAME of core.conditioning.optional',
            )


def _extremes(distribution: Any) -> list[Any]:
    if hasattr(distribution, "choices"):
        return list(distribution.choices)
    return [distribution.low, distribution.high]


def _contains(distribution: Any, value: Any) -> bool:
    if hasattr(distribution, "choices"):
        return value in distribution.choices
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    step = getattr(distribution, "step", None)
    steps = 0.0 if step is None else (value - distribution.low) / step
    is_inside = distribution.low <= value <= distribution.high
    return bool(is_inside and abs(steps - round(steps)) < 1e-8)


def _takes(values: Mapping[str, Any], *, optuna: Any) -> Any:
    """A sampler that draws these values, wherever a distribution has them."""

    class Sampler(optuna.samplers.BaseSampler):  # type: ignore[misc]  # imported where needed
        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return {}

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return {}

        def sample_independent(
            self, study: Any, trial: Any, param_name: str, param_distribution: Any
        ) -> Any:
            wanted = values.get(param_name)
            if _contains(param_distribution, wanted):
                return wanted
            return _extremes(param_distribution)[0]

    return Sampler()
