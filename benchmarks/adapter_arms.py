"""Five adapters of the UNet as five branches: `baseline` under five names, one adapter each.

    python -m benchmarks.adapter_arms FOLDER

Writes into FOLDER a plug-in package whose entry points register the five. A comparison pairs
branches by name, and one branch under two settings is refused, so each adapter needs a name; with
FOLDER on PYTHONPATH,

    harness compare --variants with_lora,with_ia3,with_loha,with_lokr,with_oft --seeds 6

trains and compares them. Nothing but `adapt` differs: every random number is a function of the seed
and not of the name, so under one seed the five share their first weights, and all of stage 1.
"""

import argparse
from pathlib import Path

KINDS = ("lora", "ia3", "loha", "lokr", "oft")
"""Every adapter of weights in peft 0.7.0 (December 2023) but AdaLoRA, which is refused here."""
PREFIX = "with_"
_MODULE = '''"""`baseline` with the adapter {kind} on the UNet, at the size it has on `tiny`."""

from core.choices import UnetAdapterKind
from variants.baseline.config import BaselineConfig
from variants.baseline.variant import Baseline


class Config(BaselineConfig):
    """Settings of the baseline."""

    hidden_dim: int = 256
    """Width of the adapter's two hidden layers; more is more parameters."""
    adapt: UnetAdapterKind = UnetAdapterKind("{kind}")
    """Adapter of the UNet from stage 2 on."""


class Arm(Baseline):
    """The baseline under another name."""

    name = "{name}"
    Config = Config


VARIANT = Arm
'''


def arm(kind: str) -> str:
    """The name under which an adapter is compared."""
    return f"{PREFIX}{kind}"


def write_plugin(folder: Path) -> None:
    """A package with one module an adapter and the entry points that register them."""
    for kind in KINDS:
        package = folder / arm(kind)
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(_MODULE.format(kind=kind, name=arm(kind)))
    info = folder / "adapter_arms-1.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: adapter-arms\nVersion: 1\n")
    points = "".join(f"{arm(kind)} = {arm(kind)}:VARIANT\n" for kind in KINDS)
    (info / "entry_points.txt").write_text(f"[branch_harness.variants]\n{points}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    write_plugin(parser.parse_args().folder)
