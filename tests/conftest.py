"""The whole suite runs on the CPU, offline, and treats warnings as errors (see pyproject)."""

import gzip
import json
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Before any import of torch or a hub client; child processes inherit them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["COLUMNS"] = "160"


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Refuse every connection that could leave this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        is_local = self.family == socket.AF_UNIX or address[0] in {"127.0.0.1", "::1", "localhost"}
        if not is_local:
            raise AssertionError(f"a test tried to reach {address}; the suite is offline")
        connect(self, address)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """One thread a process, as in a run, so that roundings repeat."""
    import torch

    torch.set_num_threads(1)


class RealMetadata:
    """The user's own six split files, kept gzipped: no media, only what the rows say."""

    folder = Path(__file__).parent / "data" / "clap2diffusion"
    balanced = tuple(f"{part}_metadata_balanced.json" for part in ("train", "val", "test"))
    unbalanced = tuple(f"{part}_metadata.json" for part in ("train", "val", "test"))

    def rows(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Rows of these files together, each id once, in order."""
        rows = {}
        for name in names:
            text = gzip.decompress((self.folder / f"{name}.gz").read_bytes())
            rows.update({row["video_id"]: row for row in json.loads(text)})
        return list(rows.values())

    def write(self, folder: Path, names: Iterable[str]) -> list[Path]:
        """The files as they were, unpacked into `folder`."""
        paths = []
        for name in names:
            paths.append(folder / name)
            paths[-1].write_bytes(gzip.decompress((self.folder / f"{name}.gz").read_bytes()))
        return paths

    def manifest(self, names: Iterable[str]) -> Any:
        """A manifest of these rows, as if the files of each had been found sound."""
        from core.data.items import Item, Status
        from core.data.manifest import Manifest

        items = tuple(
            Item(
                row["video_id"],
                Status.INCLUDED,
                class_name=row["class"],
                caption=row["text"],
                source=row["video_id"],
                source_label=row["class"],
                audio_path=row["audio_path"],
                image_path=row["image_path"],
                audio_sha256=f"sound of {row['video_id']}",
                image_sha256=f"picture of {row['video_id']}",
                duration_s=10.0,
            )
            for row in sorted(self.rows(names), key=lambda row: str(row["video_id"]))
        )
        return Manifest(root=Path("/media"), items=items, num_input=len(items))


@pytest.fixture(scope="session")
def real_metadata() -> RealMetadata:
    """The user's own split files."""
    return RealMetadata()
