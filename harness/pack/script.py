"""The scripts of a pack: one makes the environment and goes on, one is a rented machine's task."""

import shlex
from collections.abc import Sequence

from harness.pack.contents import PLUGINS, PackedPlugin

_HEAD = """\
#!/bin/sh
# Makes the environment, fetches missing weights and gives the commands of this pack, each of which
# goes on from its newest checkpoint. Run it again after an interruption: what is there stays.
#
#   sh continue.sh setup   no more than the environment and the weights
#   PYTHON=python3.12      another interpreter to make the environment with
#   SYSTEM_PACKAGES=1      use the torch that the machine has, if its version fits
#   HARNESS=/path/harness  an environment that is there already, with the plug-ins in it
#   STORE=URL              keep runs there while they go on, and go on from what is kept there
set -eu
here=$(cd "$(dirname "$0")" && pwd)
case "${1:-}" in
  ""|setup) only="${1:-}" ;;
  *) echo "$0: '$1' is not known; give setup, or nothing" >&2; exit 2 ;;
esac
if [ -z "${HARNESS:-}" ]; then
  venv="$here/.venv"
  if [ ! -f "$venv/.ready" ]; then
    echo "making $venv"
    "${PYTHON:-python3}" -m venv ${SYSTEM_PACKAGES:+--system-site-packages} "$venv"
    set -- -m pip install --quiet --disable-pip-version-check
    if [ -f "$here/project/constraints.txt" ] && [ -z "${SYSTEM_PACKAGES:-}" ]; then
      set -- "$@" -c "$here/project/constraints.txt"
    fi
    "$venv/bin/python" "$@" "$here/project[train]"@PLUGINS@
    touch "$venv/.ready"
  fi
  HARNESS="$venv/bin/harness"
fi
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" TOKENIZERS_PARALLELISM=false
cd "$here/work"

# A signal reaches the command, which ends after a checkpoint.
give() {
  "$HARNESS" "$@" &
  child=$!
  trap 'kill -TERM $child 2>/dev/null' TERM INT HUP
  code=0
  wait $child || code=$?
  while kill -0 $child 2>/dev/null; do
    code=0
    wait $child || code=$?
  done
  trap - TERM INT HUP
  return $code
}

go() {
  if [ -n "${STORE:-}" ]; then
    give keep --store "$STORE" -- "$@"
  else
    give "$@"
  fi
}
"""
TASK = """\
#!/bin/sh
# What a rented machine does: goes on from what is kept, and stops the machine at the end, however
# that comes. Given again after a preemption, it goes on from the newest checkpoint.
#
#   STOP='a command'       stops this machine, so that it costs no more
#   STORE=URL              see continue.sh; not needed where this folder outlasts the machine
set -u
here=$(cd "$(dirname "$0")" && pwd)
child=

finish() {
  code=$?
  trap '' TERM INT HUP
  trap - EXIT
  echo "the task ended with exit code $code"
  if [ -n "${STOP:-}" ]; then
    # A provider that does not answer is asked again: an idle machine costs what a busy one does.
    tries=0
    until sh -c "$STOP"; do
      tries=$((tries + 1))
      [ $tries -lt 20 ] || { echo "the machine could not be stopped; stop it by hand" >&2; break; }
      sleep "${STOP_PAUSE:-15}"
    done
  fi
  exit $code
}

trap finish EXIT
trap '[ -z "$child" ] || kill -TERM $child 2>/dev/null' TERM INT HUP
sh "$here/continue.sh" &
child=$!
code=0
wait $child || code=$?
while kill -0 $child 2>/dev/null; do
  code=0
  wait $child || code=$?
done
exit $code
"""


def script_text(
    *,
    weights: Sequence[Sequence[str]],
    commands: Sequence[Sequence[str]],
    plugins: Sequence[PackedPlugin] = (),
) -> str:
    """The script that goes on, for `sh`."""
    # In one go with the harness, so that what they require of it is the one in the pack.
    asked = [" ".join(_pip_word(word) for word in plugin.install) for plugin in plugins]
    lines = [_HEAD.replace("@PLUGINS@", "".join(f" \\\n      {words}" for words in asked))]
    lines += [f"give weights get {shlex.join(words)}" for words in weights]
    lines.append('[ "$only" != setup ] || { echo "set up: $HARNESS"; exit 0; }')
    lines += [f"go {shlex.join(words)}" for words in commands]
    if not commands:
        lines.append('"$HARNESS" list')
    return "\n".join(lines) + "\n"


def _pip_word(word: str) -> str:
    return f'"$here"/{shlex.quote(word)}' if word.startswith(f"{PLUGINS}/") else shlex.quote(word)
