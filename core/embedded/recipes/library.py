"""Names for diffusers' classes in signatures.

To a type checker diffusers exports stand-ins without methods, so each is `Any` there; at run time
the objects are the real ones, which the tests check.
"""

from typing import Any, TypeAlias

Autoencoder: TypeAlias = Any
"""diffusers' AutoencoderKL."""
Unet: TypeAlias = Any
"""diffusers' UNet2DConditionModel."""
Scheduler: TypeAlias = Any
"""diffusers' DDIMScheduler."""
Pipeline: TypeAlias = Any
"""diffusers' StableDiffusionPipeline."""
