"""AudioToken-like branch: the sound becomes one token of the text."""

from audio_token.config import AudioTokenConfig
from core.conditioning.on_demand import variant_on_demand

CONFIG = AudioTokenConfig
__getattr__ = variant_on_demand(__name__, of="audio_token.variant:AudioToken")
