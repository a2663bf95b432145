"""Everything that is looked at before a run."""

import importlib.util
import os
from dataclasses import dataclass
from typing import Any

from harness.costs.matrix import MatrixPlan, MatrixRequest, plan_matrix
from harness.doctor.finding import Finding, State, bad, good, note
from harness.doctor.graphics import (
    check_arithmetic,
    check_device,
    check_memory,
    check_scan,
    read_graphics,
)
from harness.doctor.storage import check_clock, check_disk, check_file_system
from harness.settings.load import load_profile
from harness.settings.profile import Profile
from harness.settings.weights import NeededModel, needed_models
from harness.wording.numbers import count, listed, size

_EXTRAS = {
    "video": "av",
    "postgres": "psycopg",
    "ray": "ray",
    "dashboard": "optuna_dashboard",
}
"""Extras of this package by the module that they bring."""
_LEAST_RAM = 12e9
"""A run of SD v1.5's size took up to 11 GB of the host on a CPU, less with a GPU."""


@dataclass(frozen=True)
class Diagnosis:
    """All findings."""

    profile: str
    findings: list[Finding]

    @property
    def is_fit(self) -> bool:
        """Whether nothing prevents a run."""
        return not any(found.state is State.BAD for found in self.findings)

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "profile": self.profile,
            "is_fit": self.is_fit,
            "findings": [found.data() for found in self.findings],
        }


def examine(request: MatrixRequest, *, device: str | None = None) -> Diagnosis:
    """Look at everything that a matrix needs on this machine.

    device: as `--device` of a run.

    Raises:
        UsageError: an unknown profile, setting or branch.
    """
    profile = load_profile(request.profile, overrides=request.overrides)
    plan: MatrixPlan = plan_matrix(request)
    models = needed_models(profile)
    is_fetched = all(model.problem is None for model in models)
    graphics = read_graphics()
    findings = [
        check_device(graphics, profile=profile, asked=device),
        check_arithmetic(graphics, profile=profile),
    ]
    if profile.hardware.needs_gpu and device != "cpu":
        findings.append(check_memory(graphics, plan=plan, profile=profile))
    findings += [
        check_scan(graphics, variants=request.variants, is_installed=_is_installed("mamba_ssm")),
        check_disk(request.results, plan=plan, is_fetched=is_fetched),
        check_file_system(request.results),
        check_clock(request.results),
        _weights(models, profile_name=request.profile),
        _licences(models),
        _data(profile),
        _host(profile),
        _extras(),
    ]
    return Diagnosis(request.profile, findings)


def _weights(models: list[NeededModel], *, profile_name: str) -> Finding:
    missing = [model for model in models if model.problem is not None]
    if not missing:
        return good("weights", f"{count(len(models), 'model')} here")
    known = [model.num_bytes for model in missing if model.num_bytes is not None]
    about = f", about {size(sum(known))}" if known else ""
    can_fetch = all(model.command is not None for model in missing)
    return bad(
        "weights",
        f"missing: {listed(model.role for model in missing)}{about}"
        + ("" if can_fetch else f": {missing[0].problem}"),
        f"harness weights get --profile {profile_name}" if can_fetch else None,
    )


def _licences(models: list[NeededModel]) -> Finding:
    unclear = [m.source for m in models if m.licence.startswith(("none", "not known"))]
    named = dict.fromkeys(f"{m.source}: {m.licence}" for m in models if m.source not in unclear)
    own = [words for words in named if not words.startswith("embedded:")]
    told = "; ".join(own) or "the models of this package"
    if unclear:
        return note("licences", f"{told}; without a stated licence: {listed(unclear)}")
    return good("licences", told)


def _data(profile: Profile) -> Finding:
    if profile.data.source is None:
        return note("data", "this profile has none of its own: pass --data to runs")
    return good("data", profile.data.source)


def _host(profile: Profile) -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return good("host", f"{cores} cores")
    words = f"{cores} cores, {size(ram)} of memory"
    if profile.hardware.needs_gpu and ram < _LEAST_RAM:
        return note("host", f"{words}; a run of this size takes up to {size(_LEAST_RAM)}")
    return good("host", words)


def _extras() -> Finding:
    here = [name for name, module in _EXTRAS.items() if _is_installed(module)]
    away = [name for name in _EXTRAS if name not in here]
    words = f"installed: {listed(here) or 'none'}"
    return good("extras", f"{words}; not installed: {listed(away)}" if away else words)


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
