"""The settings of `core.features.log_mel`, apart from its torch so that they load at once."""

from pydantic import BaseModel, ConfigDict, Field, model_validator


class LogMelSettings(BaseModel):
    """What a log-mel spectrogram is made with; a part of the feature cache's key."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sample_rate_hz: int = Field(default=16_000, gt=0)
    """Rate the sound is resampled to; half of it is the highest frequency there can be."""
    num_mels: int = Field(default=128, gt=0)
    """Mel bands M; more resolve pitch more finely."""
    num_frames: int = Field(default=1024, gt=0)
    """Frames T after padding or cropping; 1024 of 10 ms are 10.24 s."""
    window_s: float = Field(default=0.025, gt=0)
    """Length of a frame, seconds; longer resolves pitch better and time worse."""
    hop_s: float = Field(default=0.010, gt=0)
    """Distance of two frames, seconds."""
    f_min_hz: float = Field(default=20.0, ge=0)
    """Lower edge of the lowest band."""
    f_max_hz: float = Field(default=8_000.0, gt=0)
    """Upper edge of the highest band; at most half the sample rate."""
    mean: float = -4.268
    """Subtracted from the log-mel values."""
    std: float = Field(default=4.569, gt=0)
    """Divides what is left."""

    @model_validator(mode="after")
    def _check_band(self) -> "LogMelSettings":
        if not self.f_min_hz < self.f_max_hz <= self.sample_rate_hz / 2:
            raise ValueError(
                f"f_min_hz {self.f_min_hz} and f_max_hz {self.f_max_hz} do not fit "
                f"sample_rate_hz {self.sample_rate_hz}; expected f_min < f_max <= rate / 2"
            )
        return self
