"""Run both sides and write what agrees: `python -m benchmarks.peers`.

Makes the packages' environment and every file below `build/peers`. Exits 1 where a comparison is
out of its tolerance; a package that cannot be installed or run is named with the reason.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
import venv
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.fixtures import write_fixtures
from benchmarks.peers.media import write_media
from benchmarks.peers.ours import EXPORTERS, ROOT, compare, run

HERE = Path(__file__).parent
REQUIREMENTS = (
    EXPORTERS / "requirements-laion-clap.txt",
    EXPORTERS / "requirements-msclap.txt",
    HERE / "requirements.txt",
)
STEPS = ("laion", "laion-fusion", "msclap", "wav2clip", "lpips", "inception")


def make_environment(folder: Path) -> None:
    """The packages at the exporters' own pins, once."""
    if (folder / ".ready").is_file():
        return
    venv.create(folder, with_pip=True, clear=True)
    pinned = [word for path in REQUIREMENTS for word in ("-r", str(path))]
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *pinned]
    subprocess.run(pip, check=True)
    (folder / ".ready").touch()


def main() -> int:
    """0 where everything that ran agrees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "peers.json")
    given = parser.parse_args()
    build = given.build.resolve()
    environment, folder = build / "environment", build / "files"
    make_environment(environment)
    shutil.rmtree(folder, ignore_errors=True)
    write_media(folder)
    run([environment / "bin" / "python", HERE / "theirs.py", folder], folder=folder)
    theirs = json.loads((folder / "theirs.json").read_text())
    found = {
        "measured": datetime.now(UTC).date().isoformat(),
        "platform": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "ours": {name: version(name) for name in ("torch", "transformers", "numpy")},
        "theirs": theirs.pop("versions"),
        "steps": {},
    }
    is_whole = True
    for step in STEPS:
        if isinstance(theirs[step], str):
            found["steps"][step] = {"did_not_run": theirs[step]}
            is_whole = False
            continue
        agreements = compare(folder, step, environment=environment)
        found["steps"][step] = {
            "packages": theirs[step],
            "agreements": [agreement.to_json() for agreement in agreements],
        }
        for one in agreements:
            limit = "measured" if one.tolerance is None else f"at most {one.tolerance:g}"
            print(
                f"{'ok  ' if one.holds else 'MISS'} {step}: {one.what}: {one.error:.2e} ({limit})"
            )
            is_whole &= one.holds
    if is_whole:
        write_fixtures(folder, out=ROOT / "tests" / "data" / "peers")
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written to {given.out}")
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
