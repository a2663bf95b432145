"""A small antialiased canvas: shapes in their own unit square, drawn four times too large."""

import colorsys
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SIZE_PX = 64
OVERSAMPLING = 4

Colour = tuple[int, int, int]
Points = list[tuple[float, float]]


def hsv(hue_degrees: float, saturation: float, value: float) -> Colour:
    """8-bit RGB."""
    red, green, blue = colorsys.hsv_to_rgb(hue_degrees / 360.0 % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def smooth(points: Points, *, steps: int = 8) -> Points:
    """Closed Catmull-Rom spline through `points`; a point given twice stays a corner."""
    p = np.asarray(points, dtype=np.float64)
    before, after, beyond = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (x[:, None, :] for x in (before, p, after, beyond))
    curve = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    return [(float(x), float(y)) for x, y in curve.reshape(-1, 2)]


@dataclass(frozen=True)
class Frame:
    """Where a subject's unit square lies: x and y in [-1, 1], y down."""

    x_px: float
    y_px: float
    radius_px: float
    tilt: float = 0.0
    """Rotation in radians."""
    stretch: float = 1.0
    """Width over height."""

    def place(self, points: Points) -> Points:
        """Points of the unit square in pixels of the finished picture."""
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        wide, high = self.radius_px * self.stretch, self.radius_px / self.stretch
        return [
            (
                self.x_px + wide * x * cos - high * y * sin,
                self.y_px + wide * x * sin + high * y * cos,
            )
            for x, y in points
        ]


class Canvas:
    """An RGB picture in the making."""

    def __init__(self, background: np.ndarray) -> None:
        """`background` is uint8 [64, 64, 3]."""
        big = SIZE_PX * OVERSAMPLING
        self._image = Image.fromarray(background).resize((big, big), Image.Resampling.BILINEAR)
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: Points, colour: Colour, *, frame: Frame | None = None) -> None:
        """Fill a polygon given in pixels, or in `frame`'s unit square."""
        placed = frame.place(points) if frame else points
        scaled = [(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in placed]
        self._draw.polygon(scaled, fill=colour)

    def blob(self, points: Points, colour: Colour, *, frame: Frame | None = None) -> None:
        """Fill the smooth closed curve through `points`."""
        self.polygon(smooth(points), colour, frame=frame)

    def ellipse(
        self,
        x: float,
        y: float,
        radius_x: float,
        radius_y: float,
        colour: Colour,
        *,
        frame: Frame | None = None,
    ) -> None:
        """Fill an axis-parallel ellipse (of the frame's own axes)."""
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        points = [(x + radius_x * float(np.cos(a)), y + radius_y * float(np.sin(a))) for a in angle]
        self.polygon(points, colour, frame=frame)

    def bar(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        width: float,
        colour: Colour,
        *,
        frame: Frame | None = None,
    ) -> None:
        """A thick line with round ends."""
        (x0, y0), (x1, y1) = start, end
        length = float(np.hypot(x1 - x0, y1 - y0)) or 1.0
        dx, dy = -(y1 - y0) / length * width / 2, (x1 - x0) / length * width / 2
        quad = [(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)]
        self.polygon(quad, colour, frame=frame)
        for x, y in (start, end):
            self.ellipse(x, y, width / 2, width / 2, colour, frame=frame)

    def finish(self) -> np.ndarray:
        """uint8 [64, 64, 3], box-filtered down."""
        return np.asarray(self._image.reduce(OVERSAMPLING))
