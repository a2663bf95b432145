"""Checkpoints that are either whole or not there.

A checkpoint is written to a temporary folder beside its place, hashed, synced, renamed and read
back before an older one is removed. safetensors accepts flipped payload bits without a word, so
every file's SHA-256 is checked on loading. Nothing is ever unpickled.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from core.errors import MismatchError
from core.files import file_sha256, no_space_is_a_sentence, sync_folder
from core.training.committed import (
    HASHES,
    STATE,
    TENSORS,
    committed_checkpoints,
    verify_checkpoint,
)

NUM_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name and JSON-able state of one optimiser-step boundary.

    global_step: optimiser steps done since the start of the schedule.
    """

    global_step: int
    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]


class CheckpointFolder:
    """The checkpoints of one run, oldest pruned, at least two verified ones kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notices: list[str] = []

    def save(self, checkpoint: Checkpoint) -> None:
        """Commit `checkpoint` under its global step.

        Raises:
            NoSpaceError: the disk is full; the checkpoints before it are intact.
        """
        name = f"step-{checkpoint.global_step:08d}"
        temporary = self.folder / f".{name}.{os.getpid()}.tmp"
        with no_space_is_a_sentence(self.folder, remove=temporary):
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            tensors = {k: v.detach().cpu().contiguous() for k, v in checkpoint.tensors.items()}
            save_file(tensors, temporary / TENSORS)
            state = {"global_step": checkpoint.global_step, **checkpoint.state}
            (temporary / STATE).write_text(json.dumps(state, sort_keys=True))
            hashes = {path.name: file_sha256(path) for path in sorted(temporary.iterdir())}
            (temporary / HASHES).write_text(json.dumps(hashes, sort_keys=True))
            for path in temporary.iterdir():
                sync_folder(path)
            sync_folder(temporary)
            final = self.folder / name
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
            sync_folder(self.folder)
        verify_checkpoint(final)
        self._prune()

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that verifies, or None where there never was one.

        A damaged checkpoint is set aside as `NAME.damaged` and named in `notices`.

        Raises:
            MismatchError: there are checkpoints and none of them verifies.
        """
        found = committed_checkpoints(self.folder)
        for folder in reversed(found):
            try:
                verify_checkpoint(folder)
                state = json.loads((folder / STATE).read_text())
                tensors = load_file(folder / TENSORS)
            except (OSError, ValueError, TypeError, SafetensorError) as error:
                aside = folder.with_name(folder.name + ".damaged")
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)
                self.notices.append(f"checkpoint {folder.name} is damaged ({error}); set aside")
                continue
            return Checkpoint(global_step=state["global_step"], tensors=tensors, state=state)
        if found or any(self.folder.glob("step-*.damaged")):
            raise MismatchError(
                f"every checkpoint in {self.folder} is damaged; to start again from step 0, delete "
                "the run's folder"
            )
        return None

    def _prune(self) -> None:
        for folder in committed_checkpoints(self.folder)[:-NUM_KEPT]:
            # Rename first: a kill inside rmtree must not leave half a checkpoint under its name.
            doomed = folder.with_name(f".{folder.name}.pruned")
            folder.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
        for leftover in self.folder.glob(".step-*"):
            shutil.rmtree(leftover, ignore_errors=True)
