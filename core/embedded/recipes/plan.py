"""How large a build is: the seed, the share of the full steps and samples, and where sets rest."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Plan:
    """Settings shared by every part of one build."""

    out: Path
    """Folder that receives one folder a model."""
    cache: Path
    """Folder of rendered training sets; safe to delete."""
    seed: int = 0
    """Names every draw of the build."""
    scale: float = 1.0
    """Share of the full steps and samples; 1 is what is shipped, 0.002 a smoke test."""

    def steps(self, full: int) -> int:
        """Training steps at this scale, at least 2."""
        return max(2, round(full * self.scale))

    def count(self, full: int, *, least: int = 16) -> int:
        """Samples at this scale, at least `least`."""
        return min(full, max(least, round(full * self.scale)))

    def folder(self, name: str) -> Path:
        """Where the model `name` is, or will be."""
        return self.out / name

    def require(self, name: str, *, part: str) -> Path:
        """The folder of a model built earlier.

        Raises: FileNotFoundError naming the part to build first.
        """
        folder = self.folder(name)
        if not folder.is_dir():
            raise FileNotFoundError(f"no {folder}; build it first with --part {part}")
        return folder
