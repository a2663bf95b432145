"""Pictures of the eight classes, each to be named at a glance by its shape.

Hue, size, position and sky are spent on the attributes, so the class is told by outline alone.
"""

from collections.abc import Callable

import numpy as np

from core.embedded.corpus.canvas import SIZE_PX, Canvas, Colour, Frame, hsv
from core.embedded.corpus.classes import Attributes, require_class

HUE_DEGREES = (0.0, 300.0)
RADIUS_PX = (12.0, 23.0)
POSITION_PX = (15.0, 49.0)
HORIZON_PX = 52.0
FLYING = frozenset({"rain", "thunder", "helicopter"})
"""Classes that are drawn in the sky."""
_DARK: Colour = (38, 36, 44)
_PALE: Colour = (244, 244, 240)


def draw_image(cls: str, attributes: Attributes, rng: np.random.Generator) -> np.ndarray:
    """uint8 [64, 64, 3]: the picture of a clip with these attributes.

    Raises: ValueError for an unknown class.
    """
    require_class(cls)
    horizon_px = HORIZON_PX + rng.uniform(-2.0, 2.0)
    canvas = landscape(attributes.hiss, horizon_px, rng)
    radius_px = between(RADIUS_PX, attributes.intensity)
    # What stands, stands on the ground whatever its size; what flies keeps the middle of the sky.
    y_px = 28.0 if cls in FLYING else horizon_px + 4.0 - radius_px
    frame = Frame(
        x_px=between(POSITION_PX, attributes.onset) + rng.uniform(-1.0, 1.0),
        y_px=y_px + rng.uniform(-1.5, 1.5),
        radius_px=radius_px,
        tilt=rng.uniform(-0.06, 0.06),
        stretch=rng.uniform(0.95, 1.05),
    )
    SUBJECTS[cls](canvas, frame, between(HUE_DEGREES, attributes.pitch), rng)
    return canvas.finish()


def between(bounds: tuple[float, float], share: float) -> float:
    """The place of `share` in [0, 1] between two bounds."""
    return bounds[0] + (bounds[1] - bounds[0]) * share


def landscape(brightness: float, horizon_px: float, rng: np.random.Generator) -> Canvas:
    """Sky from night to day, perhaps a hill and soft clouds, and the ground."""
    top, low = 0.06 + 0.72 * brightness, 0.12 + 0.84 * brightness
    rows = np.linspace(0.0, 1.0, SIZE_PX)[:, None] * (low - top) + top
    tint = np.array([0.88, 0.95, 1.0]) if brightness > 0.5 else np.array([0.85, 0.9, 1.0])
    sky = np.broadcast_to((rows * tint * 255)[:, None, :], (SIZE_PX, SIZE_PX, 3))
    canvas = Canvas(np.clip(sky, 0, 255).round().astype(np.uint8))
    shade = 0.15 + 0.8 * brightness
    for _ in range(int(rng.integers(0, 3))):
        x, y, width = rng.uniform(4, 60), rng.uniform(4, 16), rng.uniform(5, 9)
        cloud = hsv(215, 0.05, min(1.0, shade + 0.1))
        canvas.ellipse(x, y, width, width * 0.3, cloud)
        canvas.ellipse(x + width * 0.2, y - 1.5, width * 0.55, width * 0.32, cloud)
    if rng.random() < 0.6:
        x, width, height = rng.uniform(0, 64), rng.uniform(22, 34), rng.uniform(5, 10)
        canvas.ellipse(x, horizon_px + 2, width, height, hsv(160, 0.14, 0.12 + 0.5 * brightness))
    ground = hsv(rng.uniform(70, 110), 0.16, 0.14 + 0.42 * brightness)
    canvas.polygon([(0, horizon_px), (64, horizon_px), (64, 64), (0, 64)], ground)
    return canvas


# Subjects, drawn in their unit square


def _fire(canvas: Canvas, frame: Frame, hue: float, rng: np.random.Generator) -> None:
    canvas.bar((-0.75, 0.98), (0.72, 0.72), 0.24, (92, 70, 52), frame=frame)
    canvas.bar((-0.72, 0.72), (0.75, 0.98), 0.24, (70, 54, 42), frame=frame)
    lean = rng.uniform(-0.1, 0.1)
    outer = [
        (0.0, 0.86),
        (0.52, 0.72),
        (0.74, 0.3),
        (0.68, -0.12),
        (0.58, -0.5),
        (0.58, -0.5),
        (0.4, -0.16),
        (0.26, -0.34),
        (0.2 + lean, -0.72),
        (0.02 + lean, -1.12),
        (0.02 + lean, -1.12),
        (-0.1, -0.66),
        (-0.3, -0.3),
        (-0.42, -0.12),
        (-0.62, -0.42),
        (-0.62, -0.42),
        (-0.7, 0.0),
        (-0.74, 0.34),
        (-0.52, 0.72),
    ]
    canvas.blob(outer, hsv(hue, 0.9, 0.92), frame=frame)
    inner = [
        (0.0, 0.84),
        (0.32, 0.68),
        (0.4, 0.36),
        (0.24, 0.06),
        (0.06 + lean, -0.36),
        (0.06 + lean, -0.36),
        (-0.14, 0.04),
        (-0.36, 0.34),
        (-0.32, 0.68),
    ]
    canvas.blob(inner, hsv(hue, 0.38, 1.0), frame=frame)


def _cloud(canvas: Canvas, frame: Frame, colour: Colour, rng: np.random.Generator) -> None:
    for x, y, rx, ry in (
        (-0.58, -0.32, 0.44, 0.32),
        (0.6, -0.32, 0.44, 0.32),
        (-0.2, -0.6, 0.42, 0.4),
        (0.3, -0.54, 0.38, 0.36),
        (0.0, -0.28, 0.7, 0.3),
    ):
        grown = rng.uniform(0.95, 1.07)
        canvas.ellipse(x, y, rx * grown, ry * grown, colour, frame=frame)


def _rain(canvas: Canvas, frame: Frame, hue: float, rng: np.random.Generator) -> None:
    drop = hsv(hue, 0.75, 0.98)
    for column, row in ((-0.66, 0.34), (0.0, 0.34), (0.66, 0.34), (-0.34, 0.86), (0.34, 0.86)):
        x, y = column + rng.uniform(-0.05, 0.05), row + rng.uniform(-0.06, 0.06)
        tear = [
            (x, y - 0.27),
            (x, y - 0.27),
            (x + 0.13, y + 0.05),
            (x + 0.08, y + 0.2),
            (x - 0.08, y + 0.2),
            (x - 0.13, y + 0.05),
        ]
        canvas.blob(tear, drop, frame=frame)
    _cloud(canvas, frame, hsv(hue, 0.72, 0.86), rng)


def _thunder(canvas: Canvas, frame: Frame, hue: float, rng: np.random.Generator) -> None:
    reach = 1.1 + rng.uniform(-0.08, 0.08)
    bolt = [
        (0.12, -0.3),
        (-0.36, 0.42),
        (-0.04, 0.42),
        (-0.24, reach),
        (0.46, 0.18),
        (0.1, 0.18),
        (0.42, -0.3),
    ]
    canvas.polygon(bolt, hsv(hue, 0.55, 1.0), frame=frame)
    _cloud(canvas, frame, hsv(hue, 0.85, 0.5), rng)


def _engine(canvas: Canvas, frame: Frame, hue: float, rng: np.random.Generator) -> None:
    roof = rng.uniform(-0.04, 0.06)
    body = hsv(hue, 0.88, 0.88)
    cabin = [(-0.72, 0.3), (-0.42, -0.2 + roof), (0.3, -0.2 + roof), (0.62, 0.3)]
    canvas.polygon(cabin, body, frame=frame)
    glass = hsv(205, 0.12, 0.94)
    top = -0.08 + roof
    canvas.polygon([(-0.54, 0.26), (-0.35, top), (-0.1, top), (-0.1, 0.26)], glass, frame=frame)
    canvas.polygon([(0.02, 0.26), (0.02, top), (0.24, top), (0.44, 0.26)], glass, frame=frame)
    hull = [
        (-1.04, 0.3),
        (-0.98, 0.22),
        (0.62, 0.24),
        (1.0, 0.34),
        (1.08, 0.5),
        (1.06, 0.74),
        (1.06, 0.74),
        (-1.06, 0.74),
        (-1.06, 0.74),
    ]
    canvas.blob(hull, body, frame=frame)
    canvas.ellipse(0.99, 0.45, 0.08, 0.08, (255, 246, 190), frame=frame)
    for x in (-0.58, 0.58):
        canvas.ellipse(x, 0.74, 0.28, 0.28, _DARK, frame=frame)
        canvas.ellipse(x, 0.74, 0.12, 0.12, (190, 190, 195), frame=frame)


def _siren(canvas: Canvas, frame: Frame, hue: float, rng: np.random.Generator) -> None:
    glow = hsv(hue, 0.5, 1.0)
    for angle in np.deg2rad([-158, -124, -90, -56, -22]) + rng.uniform(-0.04, 0.04):
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        start, end = (0.68 * cos, 0.2 + 0.78 * sin), (0.98 * cos, 0.2 + 1.16 * sin)
        canvas.bar(start, end, 0.15, glow, frame=frame)
    dome = [
        (-0.46, 0.6),
        (-0.46, 0.6),
        (-0.45, 0.12),
        (-0.28, -0.26),
        (0.0, -0.38),
        (0.28, -0.26),
        (0.45, 0.12),
        (0.46, 0.6),
        (0.46, 0.6),
    ]
    canvas.blob(dome, hsv(hue, 0.92, 0.9), frame=frame)
    canvas.bar((-0.2, 0.1), (-0.2, 0.34), 0.15, hsv(hue, 0.25, 1.0), frame=frame)
    canvas.bar((-0.58, 0.68), (0.58, 0.68), 0.2, (130, 132, 142), frame=frame)
    canvas.bar((-0.66, 0.88), (0.66, 0.88), 0.26, _DARK, frame=frame)


def _helicopter(canvas: Canvas, frame: Frame, hue: float, rng: np.random.Generator) -> None:
    body, dark = hsv(hue, 0.88, 0.88), hsv(hue, 0.8, 0.48)
    canvas.bar((-0.4, 0.76), (0.78, 0.76), 0.1, dark, frame=frame)
    canvas.bar((-0.12, 0.4), (-0.2, 0.74), 0.08, dark, frame=frame)
    canvas.bar((0.42, 0.4), (0.5, 0.74), 0.08, dark, frame=frame)
    boom = [(-1.1, -0.14), (0.1, -0.2), (0.1, 0.3), (-1.1, 0.02)]
    canvas.polygon(boom, body, frame=frame)
    canvas.polygon([(-1.2, -0.42), (-1.0, -0.42), (-0.9, 0.0), (-1.1, 0.04)], body, frame=frame)
    canvas.ellipse(0.22, 0.12, 0.62, 0.42, body, frame=frame)
    window = [(0.3, -0.16), (0.56, -0.12), (0.76, 0.12), (0.3, 0.14), (0.3, 0.14)]
    canvas.blob(window, hsv(205, 0.12, 0.95), frame=frame)
    canvas.bar((0.18, -0.28), (0.18, -0.54), 0.1, dark, frame=frame)
    dip = rng.uniform(-0.06, 0.06)
    canvas.bar((-0.88, -0.56 + dip), (1.14, -0.56 - dip), 0.12, dark, frame=frame)


def _dog_barking(canvas: Canvas, frame: Frame, hue: float, rng: np.random.Generator) -> None:
    coat, shade = hsv(hue, 0.72, 0.9), hsv(hue, 0.85, 0.52)
    head = [
        (0.0, -0.8),
        (0.5, -0.7),
        (0.64, -0.2),
        (0.5, 0.3),
        (0.42, 0.7),
        (0.0, 0.94),
        (-0.42, 0.7),
        (-0.5, 0.3),
        (-0.64, -0.2),
        (-0.5, -0.7),
    ]
    canvas.blob(head, coat, frame=frame)
    droop = rng.uniform(-0.06, 0.08)
    for side in (-1.0, 1.0):
        ear = [
            (0.36 * side, -0.8),
            (0.74 * side, -0.78),
            (0.98 * side, -0.2),
            (0.86 * side, 0.36 + droop),
            (0.66 * side, 0.2 + droop),
            (0.56 * side, -0.3),
        ]
        canvas.blob(ear, shade, frame=frame)
        canvas.ellipse(0.25 * side, -0.2, 0.13, 0.15, _PALE, frame=frame)
        canvas.ellipse(0.24 * side, -0.18, 0.085, 0.1, _DARK, frame=frame)
    canvas.ellipse(0.0, 0.42, 0.4, 0.36, hsv(hue, 0.16, 0.98), frame=frame)
    tongue = [(-0.14, 0.54), (0.14, 0.54), (0.14, 0.86), (0.0, 1.0), (-0.14, 0.86)]
    canvas.blob(tongue, (226, 92, 108), frame=frame)
    canvas.bar((-0.2, 0.56), (0.2, 0.56), 0.09, _DARK, frame=frame)
    canvas.ellipse(0.0, 0.24, 0.19, 0.14, _DARK, frame=frame)


def _ocean_waves(canvas: Canvas, frame: Frame, hue: float, rng: np.random.Generator) -> None:
    deep, light = hsv(hue, 0.9, 0.62), hsv(hue, 0.75, 0.9)
    wave = [
        (-1.9, 1.2),
        (-1.9, 1.2),
        (-1.1, 0.62),
        (-0.72, 0.0),
        (-0.3, -0.62),
        (0.3, -0.86),
        (0.82, -0.6),
        (1.02, -0.12),
        (1.0, 0.2),
        (1.0, 0.2),
        (0.82, -0.08),
        (0.56, -0.2),
        (0.24, -0.08),
        (0.12, 0.28),
        (0.3, 0.66),
        (0.8, 0.86),
        (1.9, 1.2),
        (1.9, 1.2),
    ]
    canvas.blob(wave, light, frame=frame)
    foam = [
        (-0.42, -0.5),
        (0.28, -0.98),
        (0.9, -0.72),
        (1.12, -0.14),
        (1.0, 0.24),
        (0.86, -0.1),
        (0.72, -0.42),
        (0.26, -0.7),
    ]
    canvas.blob(foam, _PALE, frame=frame)
    base = frame.y_px + frame.radius_px * 0.72
    phase = rng.uniform(0, 2 * np.pi)
    crest = [
        (float(x), base + 1.2 * float(np.sin(x / 64 * 4 * np.pi + phase))) for x in range(0, 65, 2)
    ]
    canvas.polygon([*crest, (64.0, 64.0), (0.0, 64.0)], deep)


SUBJECTS: dict[str, Callable[[Canvas, Frame, float, np.random.Generator], None]] = {
    "fire": _fire,
    "rain": _rain,
    "engine": _engine,
    "siren": _siren,
    "thunder": _thunder,
    "helicopter": _helicopter,
    "dog_barking": _dog_barking,
    "ocean_waves": _ocean_waves,
}
