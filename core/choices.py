"""The choices that a setting offers, by name. Imports nothing, so that settings load at once.

The modules that act on a choice hand its enum on under the name that variants import it by.
"""

from enum import StrEnum


class AudioFeature(StrEnum):
    """Cached features of a clip's sound that a variant may ask for.

    Shape legend: B batch, D feature width, T frames, M mel bands.
    """

    CLAP_POOLED = "clap_pooled"  # [B, D], L2-normalised
    CLAP_SEQUENCE = "clap_sequence"  # [B, T, D], CLAP's last hidden state, one token per time step
    LOG_MEL = "log_mel"  # [B, M, T], normalised log-mel spectrogram
    MSCLAP_POOLED = "msclap_pooled"  # [B, D], Microsoft's CLAP, exported, not normalised


EXPORTABLE = frozenset({AudioFeature.CLAP_POOLED, AudioFeature.MSCLAP_POOLED})
"""Features that an encoder of another environment may make."""


class UnetAdapterKind(StrEnum):
    """How the frozen UNet is adapted from stage 2 on: four ways of ours, none, or a tuner of peft.

    Which of peft's are refused, and why, is in `core.conditioning.tuners`.
    """

    LORA = "lora"
    DORA = "dora"
    IA3 = "ia3"
    SSF = "ssf"
    NONE = "none"
    ADALORA = "adalora"
    ADAMSS = "adamss"
    ADAPTION_PROMPT = "adaption_prompt"
    BEFT = "beft"
    BOFT = "boft"
    C3A = "c3a"
    CARTRIDGE = "cartridge"
    CPT = "cpt"
    DEFT = "deft"
    DELORA = "delora"
    FOURIERFT = "fourierft"
    FROD = "frod"
    GLORA = "glora"
    GRALORA = "gralora"
    HIRA = "hira"
    HRA = "hra"
    LILY = "lily"
    LN_TUNING = "ln_tuning"
    LOHA = "loha"
    LOKR = "lokr"
    MISS = "miss"
    MULTITASK_PROMPT_TUNING = "multitask_prompt_tuning"
    OFT = "oft"
    OSF = "osf"
    P_TUNING = "p_tuning"
    PEANUT = "peanut"
    POLY = "poly"
    PREFIX_TUNING = "prefix_tuning"
    PROMPT_TUNING = "prompt_tuning"
    PSOFT = "psoft"
    PVERA = "pvera"
    RANDLORA = "randlora"
    ROAD = "road"
    SHADOW = "shadow"
    SHIRA = "shira"
    SUPERTUNING = "supertuning"
    TINYLORA = "tinylora"
    TRAINABLE_TOKENS = "trainable_tokens"
    UNILORA = "unilora"
    VBLORA = "vblora"
    VERA = "vera"
    WAVEFT = "waveft"
    XLORA = "xlora"


class SsfScope(StrEnum):
    """The operations of a UNet that SSF follows."""

    CROSS_ATTENTION = "attn2"  # q, k, v and output projections of the cross-attentions
    ATTENTION = "attn1+attn2"  # the same of both attentions
    ALL = "all"  # every linear, convolution and normalisation


class KeptAttention(StrEnum):
    """What an edit keeps of the attention with which its image is reconstructed."""

    NONE = "none"
    SELF = "self"  # queries and keys of the decoder's self-attentions: which places belong together
    CROSS = "cross"  # queries of the cross-attentions: what each place asks of caption and sound
    ALL = "all"  # both
    FEATURES = "features"  # self, and what a residual block of the decoder adds: Plug-and-Play


class StopCriterion(StrEnum):
    """What ends a stage and which weights it leaves behind."""

    STEPS = "steps"  # all steps run, the last weights stay
    VALIDATION_LOSS = "validation_loss"  # all steps run, the weights of the best validation stay
    GATE_WINDOW = "gate_window"  # ends early once the mean gate value lies in [0.35, 0.45]


class LossWeighting(StrEnum):
    """How much each noise level counts in the training loss; the mean over timesteps is 1."""

    UNIFORM = "uniform"  # Ho et al. 2020, the simple objective
    HIGH_NOISE = "high_noise"  # in proportion to SNR^-1/2: what a picture shows is decided there


class Precision(StrEnum):
    """Arithmetic of forward passes, and the type of frozen weights; trained ones are float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"  # half the memory, the range of float32
    FLOAT16 = "float16"  # for cards without bfloat16; gradients need loss scaling


class ClassWeighting(StrEnum):
    """Rule by which a class of n training samples is weighted before normalisation."""

    NONE = "none"  # 1
    SQRT = "sqrt"  # sqrt(largest / n)
    INVERSE = "inverse"  # largest / n
    EFFECTIVE = "effective"  # effective number of samples, Cui et al. 2019, eq. 2
    EXPLICIT = "explicit"  # a number for every class, given by the user


DEFAULT_BETA = 0.999
"""Of `EFFECTIVE`, one of Cui et al.'s; 0 means no weighting, towards 1 it is inverse frequency."""


class Sampler(StrEnum):
    """Solver of the sampling ODE; each is deterministic given the first noise."""

    DDIM = "ddim"  # Song et al. 2021, eta 0
    DPM_SOLVER_PP = "dpm_solver++"  # Lu et al. 2022, second order multistep
    UNIPC = "unipc"  # Zhao et al. 2023


class BudgetKind(StrEnum):
    """In what the training of compared branches is equal."""

    SAMPLES = "samples"  # steps and samples: the stages' own numbers
    GPU_SECONDS = "gpu_seconds"  # seconds of the device; CPU seconds of the process without a GPU
    FLOPS = "flops"  # floating-point operations of forward and backward passes
