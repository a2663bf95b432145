"""Files that are nearly right, and what tries them: structure-aware mutation.

JSON values are replaced by values of other kinds, binary fields by their extremes, chunks dropped,
doubled, swapped or cut. HARNESS_FUZZ_SECONDS and HARNESS_FUZZ_SEED choose length and seed.
"""

import json
import os
import random
import resource
import signal
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass

from core.errors import HarnessError

SEED = int(os.environ.get("HARNESS_FUZZ_SEED", "15"))
MAX_BYTES = 1 << 30
HANG_S = 120.0
"""Of one input; the slowest takes seconds on a busy machine."""
VALUES = [
    None, True, 0, -1, 1.5, 2**63, 10**400, float("nan"), float("inf"), "", "\0", "x" * 3000,
    "../x",
    "\ud800", "빗", [], [[]], {}, {"a": {}}, [1, "a", None], "2024", "~", "\\x\\y", "a\nb",
]  # fmt: skip
NUMBERS = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\1\0\0\0", b"\0\0\0\x80"]


def changed_json(value, rng):
    """`value` with one part replaced, dropped or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        found = dict(value)
        choice = rng.random()
        if choice < 0.15:
            del found[key]
        elif choice < 0.25:
            found[rng.choice(["", "x", "class", "\0"])] = rng.choice(VALUES)
        else:
            found[key] = changed_json(value[key], rng)
        return found
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        found = list(value)
        choice = rng.random()
        if choice < 0.15:
            del found[place]
        elif choice < 0.3:
            found.insert(place, found[place])
        else:
            found[place] = changed_json(value[place], rng)
        return found
    return rng.choice(VALUES)


def changed_bytes(content, rng):
    """`content` with bits flipped, fields set to extremes, or a stretch dropped, doubled, moved."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        # The head decides what the rest means.
        end = len(found) if rng.random() < 0.4 else min(len(found), 64)
        place = rng.randrange(max(1, end))
        length = rng.choice((1, 4, 16, 512))
        kind = rng.randrange(7)
        if kind == 0 and found:
            found[min(place, len(found) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            found[place : place + 4] = rng.choice(NUMBERS)
        elif kind == 2:
            del found[place : place + length]
        elif kind == 3:
            found[place:place] = found[place : place + length]
        elif kind == 4:
            found = found[:place]
        elif kind == 5:
            found[place:place] = rng.choice((b"\0" * 40, b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"\n"))
        else:
            found[place:place] = bytes(rng.randrange(256) for _ in range(length))
    return bytes(found)


def changed_text(content, rng):
    """Of a JSON file a value mostly, else bytes; now and then a nest that is far too deep."""
    if rng.random() < 0.02:
        return rng.choice((b"[", b'{"a":')) * 100_000
    try:
        value = json.loads(content)
    except ValueError:
        return changed_bytes(content, rng)
    if rng.random() < 0.25:
        return changed_bytes(content, rng)
    changed = changed_json(value, rng)
    text = json.dumps(changed, ensure_ascii=rng.random() < 0.5)
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16")), "surrogatepass")


@dataclass
class Tried:
    """What a fuzzer went through."""

    inputs: dict[str, int]
    """By reader."""
    sentences: int = 0
    """Inputs that a reader refused."""
    slowest_s: float = 0.0
    slowest: str = ""
    """Reader of the slowest input."""
    peak_bytes: int = 0
    """Most memory of the process, less what it had before the first input."""


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def ending(seconds):
    """Raises AssertionError inside the block where it takes longer."""

    def ring(*_):
        raise AssertionError(f"no answer after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    left = signal.setitimer(signal.ITIMER_REAL, seconds)[0]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


def fuzz(readers, *, seconds, rng, min_inputs):
    """Inputs tried. Raises: whatever is no sentence, with the input that made it."""
    tried, before = Tried(dict.fromkeys(readers, 0)), _memory()
    for name, (valid, change, read) in readers.items():
        end = time.monotonic() + seconds / len(readers)
        while time.monotonic() < end or tried.inputs[name] < min_inputs:
            content = change(rng.choice(valid), rng)
            tried.inputs[name] += 1
            began = time.monotonic()
            try:
                with warnings.catch_warnings(), ending(HANG_S):
                    warnings.simplefilter("ignore")
                    read(content)
            except HarnessError:  # a sentence
                tried.sentences += 1
            except Exception as error:
                raise AssertionError(f"{name}: {content[:3000]!r}") from error
            if time.monotonic() - began > tried.slowest_s:
                tried.slowest_s, tried.slowest = time.monotonic() - began, name
    tried.peak_bytes = _memory() - before
    assert tried.peak_bytes < MAX_BYTES, tried
    return tried


def fuzz_at_length(readers):
    """For ten minutes, or as long as is asked for, from a seed that is printed."""
    seconds = float(os.environ.get("HARNESS_FUZZ_SECONDS", "600"))
    seed = int(os.environ.get("HARNESS_FUZZ_SEED", str(time.time_ns())))
    tried = fuzz(readers, seconds=seconds, rng=random.Random(seed), min_inputs=1)
    print(f"seed {seed}: {sum(tried.inputs.values()):,} inputs: {tried}")
