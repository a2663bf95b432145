"""The frozen models: SD v1.5's parts and CLAP, loaded the same way at any size.

Shape legend: B batch, C channels or context width, H W latent height and width, L text tokens,
T time steps, D feature width.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from core.conditioning.shapes import FoundationShapes, block_shapes
from core.errors import MismatchError, UsageError
from core.files import json_sha256
from core.foundation.batches import BatchLimit
from core.foundation.fused.blocks import fuse_on_gpu
from core.foundation.layout import CLAP, STABLE_DIFFUSION, Layout
from core.foundation.loading import DAMAGED, load_whole
from core.foundation.mapped import own_memory
from core.foundation.sources import Source, missing_weights, resolve_source

CLAP_SAMPLE_RATE_HZ = 48_000
_MIN_VOCABULARY = 64
_ANY_NUMBER = 1 << 30
Part = Literal["vae", "text_encoder", "unet", "clap"]


@dataclass(frozen=True)
class AudioEmbedding:
    """CLAP's view of B clips: pooled_BD is L2-normalised, sequence_BTD one token a time step."""

    pooled_BD: Tensor
    sequence_BTD: Tensor


class Foundation:
    """The frozen models of one profile; each part is loaded when it is first used.

    stable_diffusion: source of a Stable Diffusion pipeline folder (vae, unet, text_encoder,
        tokenizer, scheduler). clap: source of a `ClapModel` with its feature extractor.
    dtype: of the frozen weights. Encoders return float32 on the CPU whatever it is.
    """

    def __init__(
        self, *, stable_diffusion: str, clap: str, device: str = "cpu", dtype: str = "float32"
    ) -> None:
        self.stable_diffusion: Source = resolve_source(stable_diffusion)
        self.clap_source: Source = resolve_source(clap)
        self.device = torch.device(device)
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.notices: list[str] = []
        """Batches that had to be made smaller."""
        say = self.notices.append
        self._encoding = BatchLimit("encoding pictures", size=_ANY_NUMBER, say=say)
        self._decoding = BatchLimit("decoding latents", size=_ANY_NUMBER, say=say)

    def revision(self, part: Part) -> str:
        """Hash that changes whenever `part` would compute something else."""
        if part == "clap":
            files = self.clap_source.fingerprint(CLAP)
            # Features of before were of another mel scale where the model is fused.
            return json_sha256([files, "HTK mel"]) if self._clap_is_fused else files
        names = (part, "tokenizer") if part == "text_encoder" else (part,)
        parts = tuple(STABLE_DIFFUSION.part(name) for name in names)
        return self.stable_diffusion.fingerprint(Layout(parts))

    @cached_property
    def _clap_is_fused(self) -> bool:
        # Read as text: a revision is asked for where transformers is not imported.
        try:
            config = json.loads((self.clap_source.folder / "config.json").read_bytes())
            return bool(config.get("audio_config", {}).get("enable_fusion", False))
        except DAMAGED as error:
            raise missing_weights(self.clap_source, "CLAP config", error) from error

    # Parts -------------------------------------------------------------------------------

    @cached_property
    def vae(self) -> Any:
        """diffusers `AutoencoderKL`."""
        from diffusers import AutoencoderKL

        return self._whole(AutoencoderKL, "vae")

    @cached_property
    def unet(self) -> Any:
        """diffusers `UNet2DConditionModel`."""
        from diffusers import UNet2DConditionModel

        return self._whole(UNet2DConditionModel, "unet")

    @cached_property
    def text_encoder(self) -> Any:
        """transformers `CLIPTextModel`."""
        from transformers import CLIPTextModel

        return self._whole(CLIPTextModel, "text_encoder")

    @cached_property
    def tokenizer(self) -> Any:
        """transformers `CLIPTokenizer`."""
        from transformers import CLIPTokenizer

        tokenizer = self._load(CLIPTokenizer, "tokenizer")
        if tokenizer.vocab_size < _MIN_VOCABULARY:  # what a missing folder loads as, unasked
            cause = ValueError(f"its vocabulary holds {tokenizer.vocab_size} words")
            raise missing_weights(self.stable_diffusion, "tokenizer", cause)
        return tokenizer

    @cached_property
    def noise_scheduler(self) -> Any:
        """The training-time schedule, as `DDPMScheduler`."""
        from diffusers import DDPMScheduler

        return self._load(DDPMScheduler, "scheduler")

    @cached_property
    def clap(self) -> Any:
        """transformers `ClapModel`."""
        from transformers import ClapModel

        return self._frozen(load_whole(ClapModel, self.clap_source, "CLAP", files=CLAP.part("")))

    @cached_property
    def clap_config(self) -> Any:
        """CLAP's sizes, without its weights: where all sounds are cached nothing else is read."""
        from transformers import ClapConfig

        try:
            return ClapConfig.from_pretrained(self.clap_source.folder, local_files_only=True)
        except DAMAGED as error:
            raise missing_weights(self.clap_source, "CLAP config", error) from error

    @cached_property
    def clap_extractor(self) -> Any:
        """`ClapFeatureExtractor` with LAION's mels: from 50 Hz, on HTK's scale where fused."""
        from transformers import ClapFeatureExtractor

        try:
            return ClapFeatureExtractor.from_pretrained(
                self.clap_source.folder,
                local_files_only=True,
                frequency_min=50,
                # It decides the mel scale too: Slaney's, or HTK's for "fusion".
                truncation="fusion" if self._clap_is_fused else "rand_trunc",
                padding="repeatpad",
            )
        except DAMAGED as error:
            raise missing_weights(self.clap_source, "CLAP feature extractor", error) from error

    @cached_property
    def clap_tokenizer(self) -> Any:
        """The tokenizer of CLAP's text half."""
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(
                self.clap_source.folder, local_files_only=True
            )
        except DAMAGED as error:
            raise missing_weights(self.clap_source, "CLAP tokenizer", error) from error
        if tokenizer.vocab_size < _MIN_VOCABULARY:  # what a missing file loads as, unasked
            cause = ValueError(f"its vocabulary holds {tokenizer.vocab_size} words")
            raise missing_weights(self.clap_source, "CLAP tokenizer", cause)
        return tokenizer

    def free_encoders(self) -> None:
        """Give back the memory of the text encoder and CLAP; asked again, they are read again.

        At the sizes of Stable Diffusion v1.5 they hold 0.6 GB in bfloat16, which training and
        sampling from cached features never read.
        """
        freed = [self.__dict__.pop(part, None) for part in ("text_encoder", "clap")]
        if any(model is not None for model in freed) and torch.device(self.device).type == "cuda":
            del freed
            torch.cuda.empty_cache()

    # Sizes -------------------------------------------------------------------------------

    @property
    def image_size(self) -> int:
        """Side of an image in pixels."""
        return int(self.unet.config.sample_size) * self.vae_factor

    @property
    def vae_factor(self) -> int:
        """Pixels per latent along a side."""
        factor: int = 2 ** (len(self.vae.config.block_out_channels) - 1)
        return factor

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of a latent."""
        size = int(self.unet.config.sample_size)
        return int(self.unet.config.in_channels), size, size

    def shapes(self, *, log_mel: tuple[int, int], num_classes: int) -> FoundationShapes:
        """Everything a variant needs to know to build itself."""
        return foundation_shapes(
            self.unet,
            num_text_tokens=int(self.tokenizer.model_max_length),
            clap_config=self.clap_config,
            log_mel=log_mel,
            num_classes=num_classes,
        )

    # Encoders ----------------------------------------------------------------------------

    @torch.no_grad()
    def encode_images(self, images_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [B, C, H, W] of the VAE's unscaled posterior.

        images_B3HW: in [-1, 1].

        Raises:
            ValueError: values outside [-1, 1].
        """
        low, high = float(images_B3HW.min()), float(images_B3HW.max())
        if low < -1.001 or high > 1.001:
            raise ValueError(f"images reach the VAE in [{low:.2f}, {high:.2f}]; expected [-1, 1]")

        def encode(batch: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
            posterior = self.vae.encode(torch.stack(list(batch)).to(self.device, self.dtype))
            return posterior.latent_dist.mean.float().cpu(), posterior.latent_dist.std.float().cpu()

        parts = [made for _, made in self._encoding.over(images_B3HW.unbind(), work=encode)]
        return torch.cat([mean for mean, _ in parts]), torch.cat([std for _, std in parts])

    @torch.no_grad()
    def decode_latents(self, latents_BCHW: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [0, 1], float32 on the CPU, of scaled latents."""

        def decode(batch: Sequence[Tensor]) -> Tensor:
            latents = torch.stack(list(batch)).to(self.device, self.dtype)
            decoded: Tensor = self.vae.decode(latents / self.vae.config.scaling_factor).sample
            return decoded.float().cpu()

        parts = [made for _, made in self._decoding.over(latents_BCHW.unbind(), work=decode)]
        return (torch.cat(parts) / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def encode_text(self, captions: Sequence[str]) -> Tensor:
        """Last hidden state [B, L, C] of the text encoder, as Stable Diffusion uses it."""
        hidden_BLC: Tensor = self.text_encoder(self._tokens(captions))[0]
        return hidden_BLC.float().cpu()

    @torch.no_grad()
    def encode_captions(self, captions: Sequence[str]) -> Tensor:
        """State [B, C] of the text encoder at each caption's end, which stands for all of it."""
        pooled_BC: Tensor = self.text_encoder(self._tokens(captions))[1]
        return pooled_BC.float().cpu()

    def _tokens(self, captions: Sequence[str]) -> Tensor:
        tokens = self.tokenizer(
            list(captions),
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        ids: Tensor = tokens.input_ids.to(self.device)
        return ids

    @torch.no_grad()
    def encode_audio(self, waveforms: Sequence[np.ndarray]) -> AudioEmbedding:
        """CLAP embeddings of mono 48 kHz float32 waveforms.

        Raises:
            UsageError: a waveform is longer than CLAP hears; its extractor would cut it at random.
        """
        longest_s = max(len(waveform) for waveform in waveforms) / CLAP_SAMPLE_RATE_HZ
        if longest_s > self.clap_extractor.max_length_s:
            raise UsageError(
                f"a window of {longest_s:g} s is longer than the {self.clap_extractor.max_length_s}"
                " s that this CLAP accepts; lower data.window_s"
            )
        inputs = self.clap_extractor(
            list(waveforms), sampling_rate=CLAP_SAMPLE_RATE_HZ, return_tensors="pt"
        )
        output = self.clap.get_audio_features(
            input_features=inputs["input_features"].to(self.device, self.dtype),
            # None is: longer clips are refused. A fused model's extractor marks one of each batch
            # by lot all the same, which LAION's package does in training alone.
            is_longer=torch.zeros_like(inputs["is_longer"], dtype=torch.bool, device=self.device),
        )
        sequence_BDFT = output.last_hidden_state.float().cpu()
        return AudioEmbedding(
            pooled_BD=output.pooler_output.float().cpu(),
            sequence_BTD=sequence_BDFT.mean(dim=2).transpose(1, 2).contiguous(),
        )

    @torch.no_grad()
    def encode_clap_text(self, texts: Sequence[str]) -> Tensor:
        """[B, D] of CLAP's text half, L2-normalised: the space of `AudioEmbedding.pooled_BD`."""
        tokens = self.clap_tokenizer(
            list(texts), padding=True, truncation=True, return_tensors="pt"
        ).to(self.device)
        pooled_BD: Tensor = self.clap.get_text_features(**tokens).pooler_output
        return pooled_BD.float().cpu()

    @property
    def clap_logit_scale(self) -> float:
        """What CLAP multiplies a sound's cosine similarities to texts by before the softmax."""
        return float(self.clap.logit_scale_a.detach().float().exp())

    def _load(self, cls: Any, part: str) -> Any:
        try:
            return cls.from_pretrained(
                self.stable_diffusion.folder, subfolder=part, local_files_only=True
            )
        except DAMAGED as error:
            raise missing_weights(self.stable_diffusion, part, error) from error

    def _whole(self, cls: Any, part: str) -> nn.Module:
        files = STABLE_DIFFUSION.part(part)
        model = self._frozen(load_whole(cls, self.stable_diffusion, part, files=files))
        if part in ("unet", "vae"):
            fuse_on_gpu(model, device=self.device)
        return model

    def _frozen(self, model: nn.Module) -> nn.Module:
        model.requires_grad_(False)
        model.eval()
        model.to(self.device, self.dtype)
        # A file's weights lie in memory as they lie in the file, and matrix products round by
        # how their factors are aligned: the same weights from another format would differ.
        own_memory((*model.parameters(), *model.buffers()))
        return model


def foundation_shapes(
    unet: Any, *, num_text_tokens: int, clap_config: Any, log_mel: tuple[int, int], num_classes: int
) -> FoundationShapes:
    """Shapes read off a UNet (the meta device will do) and CLAP's config.

    Raises:
        MismatchError: CLAP's config has no integral token grid.
    """
    audio = clap_config.audio_config
    # The encoder halves the grid between stages; see ClapAudioEncoder.forward.
    downsample = audio.patch_stride[0] * 2 ** (len(audio.depths) - 1)
    frequency_ratio = audio.spec_size // audio.num_mel_bins
    if audio.spec_size % (downsample * frequency_ratio):
        raise MismatchError(
            f"CLAP spectrogram of {audio.spec_size} does not divide into {downsample}-wide tokens"
        )
    return FoundationShapes(
        context_dim=int(unet.config.cross_attention_dim),
        num_text_tokens=num_text_tokens,
        clap_pooled_dim=int(clap_config.projection_dim),
        clap_sequence=(audio.spec_size // downsample * frequency_ratio, int(audio.hidden_size)),
        log_mel=log_mel,
        num_classes=num_classes,
        blocks=block_shapes(unet),
    )
