"""Which kinds of UNet adapter there are, apart from peft so that settings load without it."""

from core.choices import UnetAdapterKind

OURS = frozenset(
    {
        UnetAdapterKind.LORA,
        UnetAdapterKind.DORA,
        UnetAdapterKind.IA3,
        UnetAdapterKind.SSF,
        UnetAdapterKind.NONE,
    }
)
"""Kinds with settings of their own in the profile, or with none; the others are tuners of peft."""
_PROMPTS = "it adds learned tokens to a language model's input, which a UNet does not have"
REFUSED = {
    UnetAdapterKind.ADALORA: "its ranks are allotted by calls after each step, which this loop "
    "does not make; without them it is LoRA under another name",
    UnetAdapterKind.ADAPTION_PROMPT: _PROMPTS,
    UnetAdapterKind.CARTRIDGE: "it trains the cached keys and values of a language model",
    UnetAdapterKind.CPT: _PROMPTS,
    UnetAdapterKind.MULTITASK_PROMPT_TUNING: _PROMPTS,
    UnetAdapterKind.P_TUNING: _PROMPTS,
    UnetAdapterKind.POLY: "it mixes its parts by the number of a task, which no clip has",
    UnetAdapterKind.PREFIX_TUNING: _PROMPTS,
    UnetAdapterKind.PROMPT_TUNING: _PROMPTS,
    UnetAdapterKind.SHADOW: "it runs a small language model next to a large one",
    UnetAdapterKind.TRAINABLE_TOKENS: "it trains rows of a token embedding, and the UNet has none",
    UnetAdapterKind.XLORA: "it mixes adapters that were trained before, by a language model's "
    "states",
}
"""Tuners that mean nothing on a UNet or in this loop, and why."""
SHARES_STATE = frozenset(
    {
        UnetAdapterKind.FROD,
        UnetAdapterKind.PVERA,
        UnetAdapterKind.TINYLORA,
        UnetAdapterKind.UNILORA,
        UnetAdapterKind.VBLORA,
        UnetAdapterKind.VERA,
    }
)
"""Attached by `get_peft_model`: peft refuses to inject them."""
