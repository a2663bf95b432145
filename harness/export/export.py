"""Write a trained branch as a folder that `DiffusionPipeline.from_pretrained` loads."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from core.choices import AudioFeature, UnetAdapterKind
from core.errors import UsageError
from core.files import write_atomic
from core.foundation.foundation import Foundation
from core.foundation.sources import resolve_source
from harness.export.sources import copied_sources, named_by_content
from harness.generate.answer import require_sound
from harness.generate.trained import TrainedBranch, loaded_branch
from harness.records.folders import RunFolder

_ROOTS = (
    "core.choices",
    "core.conditioning.adapters",
    "core.conditioning.attached",
    "core.conditioning.conditioning",
    "core.conditioning.shapes",
    "core.features.log_mel",
    "core.features.log_mel_settings",
    "core.sampling.sampler",
)
"""What `pipeline.py` imports of the copies."""
_CLAP_FEATURES = frozenset({AudioFeature.CLAP_POOLED, AudioFeature.CLAP_SEQUENCE})
_LORA_FILE = "pytorch_lora_weights.safetensors"
_PARTS = "pretrained"
"""Folder of what a branch loads beside the frozen models."""
_TEMPLATES = "harness.export"


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    """The folder to load."""
    lora: Path | None
    """The UNet's LoRA in diffusers' own format; None where the branch trains another adapter."""
    notices: tuple[str, ...]
    """What may make its images differ from those of the run."""


def export(run: Path, *, out: Path, device: str) -> Exported:
    """Write the branch of a finished run, with copies of its code and the frozen models.

    Raises:
        UsageError: the folder is not empty; the run is not finished, does not condition on sound
            or was trained behind a separator; its code cannot be copied.
        MismatchError: a frozen model or the weights are not the run's.
        NoSpaceError: the disk is full.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not an empty folder; give another --out or remove it")
    with loaded_branch(run, device=device) as branch:
        require_sound(branch)
        variant = type(branch.model.variant)
        package, sources = named_by_content(copied_sources([*_ROOTS, variant.__module__]))
        parts = branch.model.variant.config.sources()
        settings = _settings(branch) | {
            "code": package,
            "pretrained": _named_by_config(parts, config=branch.model.variant.config.model_dump()),
        }
        lora = _lora(branch)
        hears_clap = bool(branch.model.variant.audio_features & _CLAP_FEATURES)
        profile, notices = branch.profile, branch.notices
        if hears_clap and profile.foundation.separator is not None:
            raise UsageError(
                f"{run.name} was trained behind separator '{profile.foundation.separator}', which "
                "cannot be exported with it; use harness generate"
            )
    out.mkdir(parents=True, exist_ok=True)
    frozen = Foundation(
        stable_diffusion=profile.foundation.stable_diffusion,
        clap=profile.foundation.clap,
        dtype=profile.foundation.dtype,
    )
    _save_models(frozen, out=out, with_clap=hears_clap)
    for role, name in parts.items():
        for below, path in resolve_source(name).files().items():
            write_atomic(out / _PARTS / role / below, content=path.read_bytes())
    for name, text in sources.items():
        write_atomic(out / package / name, content=text.encode())
    write_atomic(out / "pipeline.py", content=_template("pipeline.py.txt").encode())
    write_atomic(out / "branch.json", content=(json.dumps(settings, indent=2) + "\n").encode())
    write_atomic(out / "branch.safetensors", content=RunFolder(run).weights.read_bytes())
    if lora is not None:
        _save_lora(lora, branch=settings, out=out)
    write_atomic(
        out / "README.md", content=_readme(settings, hears_clap, lora is not None).encode()
    )
    return Exported(out, out / "lora" / _LORA_FILE if lora is not None else None, notices)


def _named_by_config(parts: Mapping[str, str], *, config: Mapping[str, Any]) -> dict[str, str]:
    """By field of the config, where in the folder the pretrained part that it names lies.

    Raises: UsageError for a part that no field of the config names.
    """
    found: dict[str, str] = {}
    for role, name in parts.items():
        fields = [field for field, value in config.items() if value == name]
        if not fields:
            raise UsageError(
                f"the branch cannot be exported: none of its settings has the value {name!r}, its "
                "pretrained part, so an exported folder could not name its copy"
            )
        found |= dict.fromkeys(fields, f"{_PARTS}/{role}")
    return found


def _settings(branch: TrainedBranch) -> dict[str, Any]:
    """All that `pipeline.py` reads of the branch, as JSON."""
    variant, profile = branch.model.variant, branch.profile
    return {
        "run_id": branch.record.run_id,
        "weights_sha256": branch.weights_sha256,
        "variant": [type(variant).__module__, type(variant).__qualname__],
        "config": variant.config.model_dump(mode="json"),
        "shapes": asdict(variant.shapes),
        "unet_adapter": {
            "kind": variant.unet_adapter.value,
            "lora_rank": variant.lora_rank or profile.lora.rank,
            "lora_alpha": profile.lora.alpha,
            "lora_dropout": profile.lora.dropout,
            "lora_sections": list(variant.lora_sections),
            "ssf_scope": profile.ssf.scope.value,
            "options": dict(variant.unet_adapter_options),
        },
        "window_s": profile.data.window_s,
        "log_mel": json.loads(profile.data.log_mel.model_dump_json()),
        "sampler": profile.sampling.sampler.value,
        "steps": profile.sampling.steps,
        "text_guidance": profile.sampling.text_guidance,
        "audio_guidance": profile.sampling.audio_guidance,
        "precision": profile.training.precision.value,
        "num_threads": profile.training.num_threads,
        "audio_features": sorted(feature.value for feature in variant.audio_features),
    }


def _lora(branch: TrainedBranch) -> dict[str, Any] | None:
    """The UNet adapter's tensors by diffusers' names; None for another adapter than LoRA."""
    if branch.model.variant.unet_adapter is not UnetAdapterKind.LORA:
        return None
    return {name: t.contiguous().cpu() for name, t in branch.model.adapter.state_dict().items()}


def _save_lora(state: Mapping[str, Any], *, branch: Mapping[str, Any], out: Path) -> None:
    """As `StableDiffusionPipeline.load_lora_weights` reads it, rank and alpha in its metadata."""
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig

    from core.conditioning.adapters import lora_targets

    adapter = branch["unet_adapter"]
    config = LoraConfig(
        r=adapter["lora_rank"],
        lora_alpha=adapter["lora_alpha"],
        lora_dropout=adapter["lora_dropout"],
        target_modules=lora_targets(adapter["lora_sections"]),
    )
    StableDiffusionPipeline.save_lora_weights(
        out / "lora",
        unet_lora_layers=dict(state),
        unet_lora_adapter_metadata=config.to_dict(),
    )


def _save_models(frozen: Foundation, *, out: Path, with_clap: bool) -> None:
    parts: dict[str, tuple[str, str]] = {
        "vae": ("diffusers", "AutoencoderKL"),
        "unet": ("diffusers", "UNet2DConditionModel"),
        "scheduler": ("diffusers", "DDPMScheduler"),
        "text_encoder": ("transformers", "CLIPTextModel"),
        "tokenizer": ("transformers", type(frozen.tokenizer).__name__),
    }
    frozen.vae.save_pretrained(out / "vae")
    frozen.unet.save_pretrained(out / "unet")
    frozen.noise_scheduler.save_pretrained(out / "scheduler")
    frozen.text_encoder.save_pretrained(out / "text_encoder")
    frozen.tokenizer.save_pretrained(out / "tokenizer")
    if with_clap:
        parts["clap"] = ("transformers", "ClapModel")
        parts["clap_extractor"] = ("transformers", "ClapFeatureExtractor")
        frozen.clap.save_pretrained(out / "clap")
        frozen.clap_extractor.save_pretrained(out / "clap_extractor")
    index: dict[str, Any] = {
        "_class_name": "BranchPipeline",
        "_diffusers_version": version("diffusers"),
        **{name: list(found) for name, found in parts.items()},
    }
    if not with_clap:
        index |= {"clap": [None, None], "clap_extractor": [None, None]}
    write_atomic(out / "model_index.json", content=(json.dumps(index, indent=2) + "\n").encode())


def _readme(settings: Mapping[str, Any], hears_clap: bool, has_lora: bool) -> str:
    lora = (
        f"| `lora/{_LORA_FILE}` | the UNet's LoRA alone, for `load_lora_weights`; without the "
        "branch's audio layers it does not listen |\n"
    )
    return _template("README.md.txt").format(
        name=settings["run_id"].split("-")[0],
        run_id=settings["run_id"],
        window_s=settings["window_s"],
        extra="" if hears_clap else ", soxr",
        lora=lora if has_lora else "",
        clap=", `clap/`, `clap_extractor/`" if hears_clap else "",
        **{name: version(name) for name in ("diffusers", "transformers", "torch", "peft")},
    )


def _template(name: str) -> str:
    return (files(_TEMPLATES) / "templates" / name).read_text(encoding="utf-8")
