"""`harness convert`: published checkpoints to folders that a profile can name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.commands.options import AsJson, print_result

if TYPE_CHECKING:
    from core.foundation.mamba.config import MambaEncoderConfig

app = typer.Typer(
    name="convert",
    help="Convert a published checkpoint to a folder that a profile can name. No code in the "
    "file is run, and an unknown tensor is an error.",
    no_args_is_help=True,
)

Checkpoint = Annotated[Path, typer.Argument(help="The .pt or .pth file as published.")]
Out = Annotated[Path, typer.Option(help="Folder to write; an existing model in it is replaced.")]


@app.command()
def ssamba(checkpoint: Checkpoint, out: Out, as_json: AsJson = False) -> None:
    """SSAMBA's encoder (v2 blocks in pairs), for `variants.cutting_edge.pretrained`."""
    _mamba("ssamba", checkpoint, out=out, as_json=as_json)


@app.command()
def aum(checkpoint: Checkpoint, out: Out, as_json: AsJson = False) -> None:
    """Audio Mamba's encoder (v1 or v2 blocks), for `variants.cutting_edge.pretrained`."""
    _mamba("aum", checkpoint, out=out, as_json=as_json)


@app.command()
def clap(
    checkpoint: Checkpoint,
    out: Out,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="Folder or hub id of roberta-base's tokenizer, to copy along."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """LAION's CLAP, for `foundation.clap`. Its tokenizer is not in the checkpoint."""
    from core.foundation.convert.clap import convert_clap

    found = convert_clap(checkpoint, folder=out, tokenizer=tokenizer)
    lacks = (
        "" if tokenizer else " (it embeds sounds; to embed text too, pass --tokenizer roberta-base)"
    )
    _tell(
        out,
        settings={},
        left_out=found.left_out,
        use=f"--set foundation.clap={out}",
        as_json=as_json,
        note=lacks,
    )


@app.command()
def sd(
    checkpoint: Annotated[Path, typer.Argument(help="The .safetensors or .ckpt file.")],
    out: Out,
    tokenizer: Annotated[
        str,
        typer.Option(help="Folder or hub id of CLIP's tokenizer, to copy along."),
    ] = "openai/clip-vit-base-patch32",
    as_json: AsJson = False,
) -> None:
    """A single-file Stable Diffusion v1 checkpoint, for `foundation.stable_diffusion`."""
    from core.foundation.convert.stable_diffusion import convert_stable_diffusion

    found = convert_stable_diffusion(checkpoint, folder=out, tokenizer=tokenizer)
    use = f"--set foundation.stable_diffusion={out}"
    _tell(out, settings={}, left_out=found.left_out, use=use, as_json=as_json)


@app.command()
def wav2clip(checkpoint: Checkpoint, out: Out, as_json: AsJson = False) -> None:
    """Wav2CLIP's released checkpoint, for `scorers.wav2clip`."""
    from core.foundation.convert.wav2clip import convert_wav2clip

    found = convert_wav2clip(checkpoint, folder=out)
    use = f"--set scorers.wav2clip={out}"
    _tell(out, settings={}, left_out=found.left_out, use=use, as_json=as_json)


def _mamba(kind: str, checkpoint: Path, *, out: Path, as_json: bool) -> None:
    from core.foundation.convert.mamba import Checkpoint as Kind
    from core.foundation.convert.mamba import convert_mamba
    from core.foundation.mamba.config import DEPTH, WIDTHS

    found = convert_mamba(checkpoint, kind=Kind(kind), folder=out)
    config = found.config
    named = [
        size for size, width in WIDTHS.items() if (width, DEPTH) == (config.width, config.depth)
    ]
    size = f"{named[0]}" if named else f"own (width {config.width}, depth {config.depth})"
    _tell(
        out,
        settings={
            "layout": config.layout.value,
            "block": config.block.value,
            "size": size,
            "state_dim": config.state_dim,
            "log_mel": list(config.log_mel),
        },
        left_out=found.left_out,
        use=_settings_of(config, size=named[0] if named else "own", folder=out),
        as_json=as_json,
    )


def _settings_of(config: "MambaEncoderConfig", *, size: str, folder: Path) -> str:
    """Every `--set` item of a branch whose encoder is the one in `folder`."""
    items: dict[str, object] = {"pretrained": folder, "size": size}
    if size == "own":
        items |= {"width": config.width, "depth": config.depth}
    patch = f"[{config.patch[0]},{config.patch[1]}]"
    items |= {"layout": config.layout.value, "block": config.block.value, "patch": patch}
    items |= {name: getattr(config, name) for name in ("state_dim", "conv_width", "expand")}
    return " ".join(f"--set variants.cutting_edge.{name}={value}" for name, value in items.items())


def _tell(
    out: Path,
    *,
    settings: dict[str, object],
    left_out: tuple[str, ...],
    use: str,
    as_json: bool,
    note: str = "",
) -> None:
    lines = [f"wrote {out}{note}"]
    if settings:
        lines.append("  ".join(f"{name} {value}" for name, value in settings.items()))
    if left_out:
        lines.append(f"left out, not needed: {', '.join(left_out)}")
    lines.append(f"use it with {use}")
    if not as_json:
        typer.echo("\n".join(lines))  # plain, for the last line is there to be copied
        return
    payload = {"folder": str(out), "settings": settings, "left_out": list(left_out), "use": use}
    print_result(None, as_json=True, data=payload)
