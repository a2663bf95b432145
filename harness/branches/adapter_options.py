"""Whether the UNet's adapter takes the options that a branch gives it, before anything is read."""

from core.conditioning.config import AdaptedConfig, VariantConfig


def require_adapter_options(config: VariantConfig) -> None:
    """Raises UsageError for an option that the adapter does not take.

    peft, which alone knows the options, is imported where there are some.
    """
    if isinstance(config, AdaptedConfig) and config.adapt_options:
        from core.conditioning.tuners import require_options

        require_options(config.adapt, config.adapt_options)
