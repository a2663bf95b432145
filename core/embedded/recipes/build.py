"""Builds the embedded models: `python -m core.embedded.recipes.build --out DIR`.

Parts depend on one another in the order of `PARTS`. Every draw is named by the seed, so two
builds on one kind of processor with one thread give the same bytes.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL

from core.embedded.recipes import clap, clip, diffusion, judges, mamba, sources, vae
from core.embedded.recipes.library import Autoencoder
from core.embedded.recipes.loop import Recipe
from core.embedded.recipes.measure import measure_diffusion
from core.embedded.recipes.plan import Plan
from core.embedded.recipes.provenance import record_part
from core.embedded.recipes.samples import image_samples
from core.foundation.judge import Judge
from core.foundation.mamba.storage import save_encoder


def build_vae(plan: Plan) -> dict[str, Any]:
    """Trains and writes stable_diffusion/vae; returns what the record says of it."""
    model, seconds = vae.train_vae(plan)
    model.save_pretrained(plan.folder("stable_diffusion") / "vae")
    held_out = image_samples(plan, "held-out", plan.count(vae.NUM_HELD_OUT))
    quality = vae.measure_vae(model, held_out.values)
    return _facts(
        plan, recipes=[vae.recipe(plan)], samples=vae.NUM_TRAIN, seconds=seconds, quality=quality
    )


def build_judges(plan: Plan) -> dict[str, Any]:
    """Trains and writes image_judge and audio_judge."""
    image_judge, audio_judge, seconds = judges.train_judges(plan)
    image_judge.save_pretrained(plan.folder("image_judge"))
    audio_judge.save_pretrained(plan.folder("audio_judge"))
    quality = judges.measure_judges(plan, image_judge, audio_judge, load_vae(plan))
    return _facts(
        plan,
        recipes=[judges.recipe(plan)],
        samples=judges.NUM_TRAIN,
        seconds=seconds,
        quality=quality,
    )


def build_clap(plan: Plan) -> dict[str, Any]:
    """Trains and writes clap."""
    model, processor, seconds = clap.train_clap(plan)
    model.save_pretrained(plan.folder("clap"))
    processor.save_pretrained(plan.folder("clap"))
    quality = clap.measure_clap(plan, model, processor)
    return _facts(
        plan, recipes=[clap.recipe(plan)], samples=clap.NUM_TRAIN, seconds=seconds, quality=quality
    )


def build_mamba(plan: Plan) -> dict[str, Any]:
    """Pretrains and writes mamba_encoder."""
    encoder, seconds = mamba.train_mamba(plan)
    save_encoder(encoder, plan.folder("mamba_encoder"))
    quality = mamba.measure_mamba(plan, encoder)
    return _facts(
        plan,
        recipes=[mamba.recipe(plan)],
        samples=mamba.NUM_TRAIN,
        seconds=seconds,
        quality=quality,
    )


def build_clip(plan: Plan) -> dict[str, Any]:
    """Trains and writes clip."""
    model, tokenizer, processor, seconds = clip.train_clip(plan)
    model.save_pretrained(plan.folder("clip"))
    tokenizer.save_pretrained(plan.folder("clip"))
    processor.save_pretrained(plan.folder("clip"))
    quality = clip.measure_clip(plan, model, tokenizer, processor)
    return _facts(
        plan, recipes=[clip.recipe(plan)], samples=clip.NUM_TRAIN, seconds=seconds, quality=quality
    )


def build_decoder(plan: Plan) -> dict[str, Any]:
    """Trains stable_diffusion/vae's decoder on; latents, and so the painter, are not touched."""
    model = load_vae(plan)
    seconds = vae.polish_decoder(plan, model)
    model.save_pretrained(plan.folder("stable_diffusion") / "vae")
    held_out = image_samples(plan, "held-out", plan.count(vae.NUM_HELD_OUT))
    quality = vae.measure_vae(model, held_out.values)
    return _facts(
        plan,
        recipes=[vae.decoder_recipe(plan)],
        samples=vae.NUM_TRAIN,
        seconds=seconds,
        quality=quality,
    )


def build_sources(plan: Plan) -> dict[str, Any]:
    """Trains and writes source_judge."""
    judge, seconds = sources.train_source_judge(plan)
    judge.save_pretrained(plan.folder("source_judge"))
    quality = sources.measure_source_judge(plan, judge)
    return _facts(
        plan,
        recipes=[sources.recipe(plan)],
        samples=sources.NUM_TRAIN,
        seconds=seconds,
        quality=quality,
    )


def build_diffusion(plan: Plan) -> dict[str, Any]:
    """Trains and writes stable_diffusion, around the autoencoder already there."""
    judge = Judge.from_pretrained(
        plan.require("image_judge", part="judges"), local_files_only=True
    ).eval()
    pipeline, seconds = diffusion.train_diffusion(plan)
    pipeline.vae = load_vae(plan)  # its decoder may have been trained on meanwhile
    diffusion.save_pipeline(pipeline, plan.folder("stable_diffusion"))
    quality = measure_diffusion(plan, pipeline, judge)
    return _facts(
        plan,
        recipes=diffusion.recipes(plan),
        samples=vae.NUM_TRAIN,
        seconds=seconds,
        quality=quality,
    )


PARTS: dict[str, Callable[[Plan], dict[str, Any]]] = {
    "vae": build_vae,
    "judges": build_judges,  # before the decoder's polish: softer pictures make a sturdier judge
    "clap": build_clap,
    "mamba": build_mamba,
    "clip": build_clip,
    "decoder": build_decoder,
    "diffusion": build_diffusion,
    "sources": build_sources,
}


def load_vae(plan: Plan) -> Autoencoder:
    """The autoencoder built earlier."""
    folder = plan.require("stable_diffusion", part="vae") / "vae"
    return AutoencoderKL.from_pretrained(folder, local_files_only=True).eval()


def _facts(
    plan: Plan, recipes: Sequence[Recipe], samples: int, seconds: float, quality: Any
) -> dict[str, Any]:
    return {
        "seed": plan.seed,
        "recipes": [asdict(recipe) for recipe in recipes],
        "samples": plan.count(samples),
        "seconds": round(seconds),
        "held_out": _rounded(asdict(quality)),
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def build(plan: Plan, parts: Sequence[str]) -> None:
    """Build `parts` in their order into `plan.out`.

    Raises: FileNotFoundError when a part needs one that is not built.
    """
    for part in (name for name in PARTS if name in parts):
        print(f"{part}: building", flush=True)
        facts = PARTS[part](plan)
        record_part(plan.out, part, facts)
        print(f"{part}: {facts['seconds']} s, {facts['held_out']}", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the models")
    parser.add_argument("--part", choices=[*PARTS], nargs="+", default=[*PARTS])
    parser.add_argument("--steps-scale", type=float, default=1.0, help="share of steps and samples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="keeps rendered sets; default: a passing folder")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as passing:
        plan = Plan(
            out=given.out,
            cache=given.cache or Path(passing),
            seed=given.seed,
            scale=given.steps_scale,
        )
        plan.out.mkdir(parents=True, exist_ok=True)
        build(plan, given.part)


if __name__ == "__main__":
    main()
