"""The files that a cloud's own tools take, for a pack."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError
from core.files import write_atomic
from harness.archive.read import check_archive
from harness.executors.store.url import require_url
from harness.launch.clouds import Cloud
from harness.pack.contents import FACTS, TASK

IMAGE = "runpod/pytorch:2.8.0-py3.11-cuda12.8.1-cudnn-devel-ubuntu22.04"
"""Of RunPod; a base with a Python and a driver's libraries, since the pack brings its own torch."""
_RUNPOD_NAMES = {
    "RTX3090": "NVIDIA GeForce RTX 3090",
    "RTX4090": "NVIDIA GeForce RTX 4090",
    "RTX5090": "NVIDIA GeForce RTX 5090",
    "L4": "NVIDIA L4",
    "A5000": "NVIDIA RTX A5000",
    "A100": "NVIDIA A100 80GB PCIe",
    "H100": "NVIDIA H100 80GB HBM3",
    "H200": "NVIDIA H200",
}
_WAIT_FOR_UPLOAD_MIN = 30


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    """What is to be rented."""

    pack: Path
    """The pack."""
    cloud: Cloud
    """By which tool."""
    gpu: str
    """Card, as SkyPilot names it: RTX4090, A100, ..."""
    disk_gb: int
    """Disk for environment, weights, data and runs."""
    is_spot: bool
    """Whether the machine may be taken away, for less."""
    store: str | None
    """URL where runs are kept; None: on the machine's own disk."""


@dataclass(frozen=True)
class Task:
    """A task that was written."""

    request: LaunchRequest
    """What for."""
    file: Path
    """The task file."""
    commands: tuple[str, ...]
    """What to give, line by line, to start it and to get its results."""
    start: tuple[str, ...] | None
    """Words that start it here; None where that needs a key or an upload first."""


def write_task(request: LaunchRequest, *, out: Path) -> Task:
    """Check the pack and write its task into the folder `out`.

    Raises:
        DataError, MismatchError: not a pack, or a damaged one.
        UsageError: spot machines without a place that outlasts them, or a store that is not a URL.
    """
    names = {file.name for file in check_archive(request.pack)}
    if not {FACTS, TASK} <= names:
        raise UsageError(f"{request.pack} is not a pack; `harness pack` makes one")
    if request.store is not None:
        require_url(request.store)
    out.mkdir(parents=True, exist_ok=True)
    return {
        Cloud.RUNPOD: _runpod,
        Cloud.SKYPILOT: _skypilot,
        Cloud.SHELL: _shell,
    }[request.cloud](request, out)


def _skypilot(request: LaunchRequest, out: Path) -> Task:
    if request.is_spot and request.store is None:
        raise UsageError(
            "a spot machine of SkyPilot leaves nothing behind; pass --store s3://BUCKET/FOLDER (or "
            "gs://), or --on-demand"
        )
    mount = ""
    if request.store is not None:
        mount = f"  /kept:\n    source: {_yaml(request.store)}\n    mode: MOUNT\n"
    store = "export STORE=file:///kept\n  " if request.store is not None else ""
    text = f"""\
# Written by `harness launch`; started by: sky jobs launch {request.pack.stem}.yaml
# A managed job: a lost machine is replaced, the task goes on from the newest checkpoint in /kept,
# and the machine is given back when the task ends, however it ends.
name: {_yaml(request.pack.stem)}
resources:
  accelerators: {_yaml(f"{request.gpu}:1")}
  use_spot: {str(request.is_spot).lower()}
  disk_size: {request.disk_gb}
file_mounts:
  ~/box.tar: {_yaml(str(request.pack.resolve()))}
{mount}\
setup: |
  mkdir -p ~/box && tar xf ~/box.tar -C ~/box
run: |
  {store}sh ~/box/{TASK}
"""
    file = out / f"{request.pack.stem}.yaml"
    write_atomic(file, content=text.encode())
    command = ("sky", "jobs", "launch", "-y", str(file))
    return Task(request, file, (shlex.join(command), "sky jobs queue", "sky jobs logs"), command)


def _runpod(request: LaunchRequest, out: Path) -> Task:
    box = "/workspace/box"
    # It waits for an upload, and for whoever looks around first; that stays on the volume. A
    # machine that is forgotten stops by itself.
    boot = (
        f"export STOP='runpodctl stop pod $RUNPOD_POD_ID'; "
        # Only the volume outlasts a stop; weights in the home folder would be fetched again.
        "export HF_HOME=/workspace/huggingface; "
        f"{'' if request.store is None else f'export STORE={shlex.quote(request.store)}; '}"
        f"n=0; while [ ! -f /workspace/box.ready ]; do "
        f'n=$((n+1)); [ $n -lt {_WAIT_FOR_UPLOAD_MIN * 12} ] || {{ eval "$STOP"; exit 1; }}; '
        f"sleep 5; done; "
        f"[ -f {box}/{TASK} ] || {{ mkdir -p {box}.new && tar xf /workspace/box.tar -C {box}.new "
        f"&& mv {box}.new {box}; }}; exec sh {box}/{TASK}"
    )
    body = {
        "name": request.pack.stem,
        "imageName": IMAGE,
        "gpuTypeIds": [_RUNPOD_NAMES.get(request.gpu.upper(), request.gpu)],
        "gpuCount": 1,
        "interruptible": request.is_spot,
        "containerDiskInGb": 20,
        "volumeInGb": request.disk_gb,
        "volumeMountPath": "/workspace",
        "ports": ["22/tcp"],
        "dockerStartCmd": ["sh", "-c", boot],
    }
    file = out / f"{request.pack.stem}-runpod.json"
    write_atomic(file, content=(json.dumps(body, indent=2) + "\n").encode())
    commands = (
        "curl -X POST https://rest.runpod.io/v1/pods -H 'Content-Type: application/json' "
        f'-H "Authorization: Bearer $RUNPOD_API_KEY" -d @{shlex.quote(str(file))}',
        f"scp -P PORT {shlex.quote(str(request.pack))} root@ADDRESS:/workspace/box.tar",
        "ssh -p PORT root@ADDRESS touch /workspace/box.ready     # starts it",
        "runpodctl start pod POD_ID     # after a preemption: goes on from the newest checkpoint",
        "scp -r -P PORT root@ADDRESS:/workspace/box/work/results .",
    )
    return Task(request, file, commands, None)


def _shell(request: LaunchRequest, out: Path) -> Task:
    store = "" if request.store is None else f"STORE={shlex.quote(request.store)} "
    text = f"""\
#!/bin/sh
# Written by `harness launch`: any machine that can be reached by ssh.
#   sh {request.pack.stem}-shell.sh USER@HOST
# It goes on when the connection ends. Give it again after a preemption: what is there stays.
# STOP is given there at the end; `sudo shutdown -h now` stops most rented machines.
set -eu
host=$1
pack={shlex.quote(str(request.pack.resolve()))}
box=box-{request.pack.stem}
stop=${{STOP-sudo shutdown -h now}}
ssh "$host" "mkdir -p $box"
ssh "$host" "test -f $box/{TASK}" || ssh "$host" "tar xf - -C $box" < "$pack"
ssh "$host" "STOP='$stop' {store}nohup sh $box/{TASK} > $box/task.log 2>&1 < /dev/null &"
ssh "$host" "tail -f $box/task.log"
"""
    file = out / f"{request.pack.stem}-shell.sh"
    write_atomic(file, content=text.encode())
    commands = (
        f"sh {shlex.quote(str(file))} USER@HOST",
        f"scp -r USER@HOST:box-{request.pack.stem}/work/results .",
    )
    return Task(request, file, commands, None)


def _yaml(text: str) -> str:
    """A YAML string; JSON is one."""
    return json.dumps(text)
