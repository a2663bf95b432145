"""Where the crops of a long clip start."""

import pytest

from core.features.crops import content_and_start, crop_key, crop_starts_ms


@pytest.mark.parametrize(
    ("duration_s", "num_crops", "starts"),
    [
        (10.0, 4, (0,)),
        (3.0, 4, (0,)),
        (12.4, 4, (0,)),
        (12.5, 4, (0, 2_500)),
        (30.0, 1, (0,)),
        (30.0, 3, (0, 10_000, 20_000)),
        (30.0, 99, tuple(2_500 * k for k in range(9))),
        (10.0 + 10.0 / 3, 2, (0, 3_333)),
    ],
)
def test_starts_are_spread_over_the_clip(duration_s, num_crops, starts):
    """Catches: a crop beyond the clip's end, near-equal crops, or a first one not at the start."""
    assert crop_starts_ms(duration_s, window_s=10.0, num_crops=num_crops) == starts


def test_the_key_of_the_start_is_the_content_itself():
    """Catches: all cached rows thrown away, or two crops of one key."""
    assert crop_key("abc", 0) == "abc"
    assert crop_key("abc", 2500) == "abc@2500"
    assert content_and_start("abc@2500") == ("abc", 2500)
    assert content_and_start("abc") == ("abc", 0)
