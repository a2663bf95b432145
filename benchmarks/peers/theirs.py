"""What the packages themselves make of the drawn weights, sounds and pictures.

Runs in the packages' environment: `theirs.py FOLDER`. Reads `FOLDER/sounds`, `FOLDER/pictures`;
writes checkpoints in each package's own format, `theirs-<package>.npz` and `theirs.json`, which
says what could not be imported or run, and why.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from drawn import weight
from hub import write_hub

FOLDER = Path(sys.argv[1])
TEXTS = ["a dog barks", "rain on a roof", "an engine"]
Arrays = dict[str, np.ndarray]


def drawn_state(model: torch.nn.Module, *, prefix: str = "") -> dict[str, torch.Tensor]:
    """A state dict of drawn weights; constants and counters are the model's own."""
    constants = ("spectrogram", "logmel", "attn_mask", "position_ids", "melW")
    state = {}
    for name, tensor in model.state_dict().items():
        is_constant = any(part in name for part in constants) or not tensor.is_floating_point()
        full = prefix + name
        drawn = tensor if is_constant else torch.from_numpy(weight(full, tuple(tensor.shape)))
        state[full] = drawn.reshape(tensor.shape)
    return state


def sounds(pattern: str) -> list[Path]:
    """Sound files by name."""
    return sorted((FOLDER / "sounds").glob(pattern))


def laion_clap(*, is_fused: bool) -> Arrays:
    """Embeddings by each of the package's three ways in, and of texts."""
    import laion_clap as package
    import soundfile

    torch.manual_seed(0)
    module = package.CLAP_Module(enable_fusion=is_fused, amodel="HTSAT-tiny", device="cpu")
    state = drawn_state(module.model)
    for name in ("logit_scale_a", "logit_scale_t"):
        state[name] = torch.tensor(2.6)
    path = FOLDER / ("laion-fusion.pt" if is_fused else "laion.pt")
    renamed = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"epoch": 1, "name": "drawn", "state_dict": renamed}, path)
    module.model.load_state_dict(state)
    files = sounds("48k-*.wav")
    waves = np.stack([soundfile.read(file, dtype="float32")[0] for file in files])
    as_tensor = module.get_audio_embedding_from_data(x=torch.from_numpy(waves), use_tensor=True)
    shapes = {name: list(tensor.shape) for name, tensor in state.items()}
    (FOLDER / f"{path.stem}-shapes.json").write_text(json.dumps(shapes))
    return {
        "data": module.get_audio_embedding_from_data(x=waves, use_tensor=False),
        "tensor": as_tensor.detach().numpy(),
        "files": module.get_audio_embedding_from_filelist([str(file) for file in files]),
        "texts": module.get_text_embedding(TEXTS),
    }


def msclap() -> Arrays:
    """Embeddings by the wrapper's public call: at its own rate, at another, of two channels."""
    from msclap import CLAP
    from msclap.models import clap as networks

    args = CLAP.read_config_as_args(None, _msclap_config(), is_config_str=True)
    torch.manual_seed(0)
    network = networks.CLAP(
        audioenc_name=args.audioenc_name, sample_rate=args.sampling_rate,
        window_size=args.window_size, hop_size=args.hop_size, mel_bins=args.mel_bins,
        fmin=args.fmin, fmax=args.fmax, classes_num=args.num_classes, out_emb=args.out_emb,
        text_model=args.text_model, transformer_embed_dim=args.transformer_embed_dim,
        d_proj=args.d_proj,
    )  # fmt: skip
    path = FOLDER / "CLAP_weights_2023.pth"
    torch.save({"model": drawn_state(network)}, path)
    wrapper = CLAP(model_fp=str(path), version="2023", use_cuda=False)
    found = {}
    for group in ("44k", "44s", "48k", "stereo"):
        files = [str(file) for file in sounds(f"{group}-*.wav")]
        if group == "48k":  # 10 s: the wrapper would draw a window; the first 7 s are given to it
            files = [_first(file, seconds=7.0) for file in files]
        found[group] = wrapper.get_audio_embeddings(files, resample=True).numpy()
    return found


def _first(file: str, *, seconds: float) -> str:
    import soundfile

    samples, rate_hz = soundfile.read(file, dtype="float32")
    cut = FOLDER / f"cut-{Path(file).name}"
    soundfile.write(cut, samples[: round(seconds * rate_hz)], rate_hz, subtype="FLOAT")
    return str(cut)


def _msclap_config() -> str:
    import msclap as package

    return (Path(package.__file__).parent / "configs" / "config_2023.yml").read_text()


def wav2clip() -> Arrays:
    """`embed_audio` of each clip by itself, and of all at once."""
    import librosa
    from wav2clip import embed_audio
    from wav2clip.model.encoder import MLPLayers, ResNetExtractor

    torch.manual_seed(0)
    state = drawn_state(ResNetExtractor().encoder, prefix="audio_encoder.")
    state |= drawn_state(MLPLayers(units=[512, 512, 512]), prefix="audio_transform.")
    (FOLDER / "wav2clip").mkdir(exist_ok=True)
    torch.save(state, FOLDER / "wav2clip" / "Wav2CLIP.pt")
    model = ResNetExtractor(checkpoint=state, scenario="frozen", transform=True)
    waves = [librosa.load(file, sr=16_000)[0] for file in sounds("48k-*.wav")]
    shapes = {name: list(tensor.shape) for name, tensor in state.items()}
    (FOLDER / "wav2clip-shapes.json").write_text(json.dumps(shapes))
    return {
        "alone": np.concatenate([embed_audio(wave, model) for wave in waves]),
        "together": embed_audio(np.stack(waves), model),
    }


def lpips() -> Arrays:
    """Distances of all pairs by the package's network with its own linear heads."""
    import shutil

    import lpips as package
    from PIL import Image
    from torchvision.models import alexnet

    state = drawn_state(alexnet(weights=None))
    folder = FOLDER / "lpips"
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / "alexnet-owt-7be5be79.pth")
    heads = Path(package.__file__).parent / "weights" / "v0.1" / "alex.pth"
    shutil.copy(heads, folder / "alex.pth")
    network = package.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    trunk = {name: state["features." + name.split(".", 1)[1]] for name in network.net.state_dict()}
    network.net.load_state_dict(trunk)
    files = sorted((FOLDER / "pictures").glob("256-*.png"))
    # Its own load_image needs OpenCV, which the package does not ask for.
    pixels = [package.im2tensor(np.asarray(Image.open(file).convert("RGB"))) for file in files]
    with torch.no_grad():
        return {"pairs": np.array([[network(a, b).item() for b in pixels] for a in pixels])}


def inception() -> Arrays:
    """torch-fidelity's features, clean-fid's resizing, both packages' distances."""
    from cleanfid.fid import frechet_distance, kernel_distance
    from cleanfid.resize import build_resizer
    from PIL import Image
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    weights = FOLDER / "inception" / "pt_inception-2015-12-05-6726825d.pth"
    network = FeatureExtractorInceptionV3(
        "drawn", ["2048"], feature_extractor_weights_path=str(weights)
    )

    def pixels(group: str) -> list[np.ndarray]:
        files = sorted((FOLDER / "pictures").glob(f"{group}-*.png"))
        return [np.asarray(Image.open(file).convert("RGB")) for file in files]

    stacked = torch.from_numpy(np.stack(pixels("299"))).permute(0, 3, 1, 2)
    with torch.no_grad():
        features = torch.cat([network(part)[0] for part in stacked.split(8)]).numpy()
    resize = build_resizer("clean")
    found = {
        "features": features,
        "smaller": np.stack([resize(one) for one in pixels("512")]),
        "larger": np.stack([resize(one) for one in pixels("64")]),
    }
    sets = np.load(FOLDER / "sets.npz")
    x, y = sets["x"], sets["y"]
    moments = [(part.mean(axis=0), np.cov(part, rowvar=False)) for part in (x, y)]
    found["frechet_cleanfid"] = np.array(frechet_distance(*moments[0], *moments[1]))
    statistics = [fid_features_to_statistics(torch.from_numpy(part)) for part in (x, y)]
    found["frechet_fidelity"] = np.array(
        next(iter(fid_statistics_to_metric(*statistics, verbose=False).values()))
    )
    found["kid_cleanfid"] = np.array(kernel_distance(x, y, num_subsets=1, max_subset_size=len(x)))
    kid = kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=1, kid_subset_size=len(x),
        kid_degree=3, kid_gamma=None, kid_coef0=1, rng_seed=0, verbose=False,
    )  # fmt: skip
    found["kid_fidelity"] = np.array(kid[KEY_METRIC_KID_MEAN])
    return found


STEPS: dict[str, tuple[tuple[str, ...], Callable[[], Arrays]]] = {
    "laion": (("laion-clap",), lambda: laion_clap(is_fused=False)),
    "laion-fusion": (("laion-clap",), lambda: laion_clap(is_fused=True)),
    "msclap": (("msclap",), msclap),
    "wav2clip": (("wav2clip",), wav2clip),
    "lpips": (("lpips",), lpips),
    "inception": (("torch-fidelity", "clean-fid"), inception),
}


def main() -> None:
    """Each step by itself: one that fails leaves its reason and the others go on."""
    write_hub(Path(os.environ["HF_HOME"]))
    shared = ("torch", "torchvision", "torchaudio", "transformers", "numpy", "librosa")
    said: dict[str, object] = {"versions": {name: version(name) for name in shared}}
    for step, (packages, measure) in STEPS.items():
        argv, sys.argv = sys.argv, sys.argv[:1]  # laion-clap parses the command line at import
        try:
            np.savez(FOLDER / f"theirs-{step}.npz", **measure())
            said[step] = {name: version(name) for name in packages}
        except Exception as error:
            traceback.print_exc()
            said[step] = f"{type(error).__name__}: {error}"
        finally:
            sys.argv = argv
        print(f"{step}: {said[step]}", flush=True)
    (FOLDER / "theirs.json").write_text(json.dumps(said, indent=1))


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
