"""The page of a probe: what each branch responds to, in a sentence, then in numbers and images."""

from collections.abc import Sequence
from pathlib import Path

from core.files import write_atomic
from harness.probe.alterations import PROPERTIES
from harness.probe.cells import cell_of
from harness.probe.probe import Probed
from harness.probe.record import RECORD, ProbedProperty, ProbedRun, ProbeRecord, Response
from harness.report.page.content import (
    Blank,
    Bullets,
    Cell,
    Column,
    Command,
    Figure,
    Head,
    Paragraph,
    Part,
    Section,
    Strip,
    Table,
)
from harness.report.page.media import MediaStore
from harness.report.page.page import Page, Written
from harness.report.probe.figures import curves, reactions
from harness.report.probe.strip import strip
from harness.wording.numbers import count, interval, label, listed, number, plain, probability

_SOUNDS_SHOWN = 2
STRIPS = "strips"


def write_probe(probed: Probed, *, out: Path) -> Written:
    """Write `index.html`, `report.md` and a strip for each property into `out`.

    Raises: NoSpaceError.
    """
    record = probed.record
    media = MediaStore()
    strips: dict[str, str] = {}
    for prop in record.properties:
        content = _strip(probed, prop)
        path = out / STRIPS / f"{prop.name}.png"
        write_atomic(path, content=content)
        strips[prop.name] = media.add(content, suffix="png")
    page = Page(head=_head(record), sections=_sections(record, strips), media=media)
    return page.write(out, files={"probe": out / RECORD}, counts={"num_runs": len(record.runs)})


def heard(record: ProbeRecord, run: ProbedRun) -> str:
    """One sentence: which properties a branch's images follow, the strongest evidence first."""
    found: dict[str, list[Response]] = {}
    for response in record.responses:
        if response.run_id == run.run_id and response.responds:
            found.setdefault(response.property, []).append(response)
    if not found:
        return f"{run.name}: no response was found to anything that was altered"
    parts = []
    for name, responses in found.items():
        best = sorted(responses, key=lambda r: (not _is_read(record, r), -abs(r.monotonicity)))
        moves = [f"{label(r.measure)} {'rises' if r.slope > 0 else 'falls'}" for r in best[:2]]
        parts.append(f"{name} ({listed(moves)})")
    silent = [p.name for p in record.properties if p.name not in found]
    rest = f"; no response was found to {listed(silent)}" if silent else ""
    return f"{run.name} responds to {listed(parts)}{rest}"


def _is_read(record: ProbeRecord, response: Response) -> bool:
    kinds = {measure.name: measure.kind for measure in record.measures}
    return kinds[response.measure] == "attribute"


def _head(record: ProbeRecord) -> Head:
    sentences = [heard(record, run) for run in record.runs]
    return Head(
        title="probe",
        headline=sentences[0] if len(sentences) == 1 else "What do these branches respond to?",
        tone="plain",
        chips=(
            count(len(record.runs), "branch", "branches"),
            count(len(record.sounds), "sound"),
            count(record.num_draws, "noise"),
            count(len(record.properties), "property", "properties"),
        ),
        kicker=("one property of a sound at a time, fixed noise",),
        branches=tuple(plain(run.name) for run in record.runs),
        files=(RECORD,),
        source="probe.json and the images next to it",
    )


def _sections(record: ProbeRecord, strips: dict[str, str]) -> list[Section]:
    first = Section(
        id="heard",
        title="What the branches respond to",
        lead="A response is named where a slope differs from 0 at a false discovery rate of 0.05 "
        "over everything that was tested of the branch. None found is not none there.",
        parts=[
            Bullets(tuple(heard(record, run) for run in record.runs)),
            Figure(
                id="reactions",
                title="How far each property moves the image",
                alt="; ".join(heard(record, run) for run in record.runs),
                wide=reactions(record)[0],
                narrow=reactions(record)[1],
                legend=(
                    "A mark is the property's furthest mean level, by the cosine distance from "
                    "the image of the unaltered sound.",
                    "Dotted: the same sound at another noise. Dashed: another sound with its "
                    "caption at the same noise.",
                ),
            ),
            *([Bullets(record.notices)] if record.notices else []),
        ],
        is_brief=True,
    )
    own = [_property(record, prop, strips[prop.name]) for prop in record.properties]
    return [first, *own, _method(record)]


def _property(record: ProbeRecord, prop: ProbedProperty, media: str) -> Section:
    wide, narrow = curves(record, prop)
    parts: list[Part] = [
        Strip(
            title="At one noise; the sounds' mel spectrograms above their images",
            alt=f"Images of {listed(run.name for run in record.runs)} at each level of {prop.name}",
            media=media,
        ),
        Figure(
            id=f"curves-{prop.name}",
            title=f"Means over sounds and noises, by {prop.name}",
            alt=f"Each measure at each level of {prop.name}; the table below has the slopes",
            wide=wide,
            narrow=narrow,
            legend=("Dashed: what the sound judge reads in the altered sounds themselves.",)
            if any(r.run_id is None for r in record.responses)
            else (),
        ),
    ]
    rows = [_rows(record, prop, run, index) for index, run in enumerate([*record.runs, None])]
    cells = tuple(row for of_run in rows for row in of_run)
    parts.append(
        Table(
            caption=f"Responses to {prop.name}, per unit ({prop.unit})",
            columns=(
                Column("branch"),
                Column("measure"),
                Column("slope", is_number=True),
                Column("95 % interval", is_number=True),
                Column("monotonicity", is_number=True, note="Kendall's tau, 95 % interval"),
                Column("adjusted p", is_number=True),
            ),
            rows=cells,
        )
        if cells
        else Blank("fewer than three levels were sampled of every sound")
    )
    return Section(
        id=prop.name, title=label(prop.name).capitalize(), lead=prop.words, parts=parts,
        is_brief=True,
    )  # fmt: skip


def _rows(
    record: ProbeRecord, prop: ProbedProperty, run: ProbedRun | None, index: int
) -> list[tuple[Cell, ...]]:
    found: list[tuple[Cell, ...]] = []
    for measure in record.measures:
        response = record.response(
            None if run is None else run.run_id, property=prop.name, measure=measure.name
        )
        if response is None:
            continue
        name = Cell("sound judge", note="the sounds themselves", tone="muted")
        found.append(
            (
                name if run is None else Cell(plain(run.name), branch=index),
                Cell(label(measure.name)),
                Cell(number(response.slope, digits=4, signed=True)),
                Cell(interval(response.low, response.high, digits=4)),
                Cell(
                    number(response.monotonicity, digits=2, signed=True),
                    note=interval(response.monotonicity_low, response.monotonicity_high, digits=2),
                ),
                Cell(
                    probability(response.adjusted_p),
                    note="responds" if response.responds and run is not None else "",
                    tone="good" if response.responds and run is not None else "",
                ),
            )
        )
    return found


def _method(record: ProbeRecord) -> Section:
    sounds = [
        f"{plain(s.label)}" + (f", caption “{plain(s.text)}”" if s.text else "")
        for s in record.sounds
    ]
    return Section(
        id="method",
        title="How this was measured",
        parts=[
            Paragraph(
                "Every level of a sound is sampled from the same noises, in batches, with the "
                "run's own sampler and guidance. Slopes and Kendall's tau are taken for each sound "
                "and noise apart; their mean's interval is a bootstrap with sounds and noises "
                "crossed. It speaks of sounds like these."
            ),
            Bullets(tuple(f"{label(m.name)}: {m.words}" for m in record.measures)),
            Bullets(tuple(sounds)),
            Command((record.command,)),
        ],
        is_brief=False,
    )


def _strip(probed: Probed, prop: ProbedProperty) -> bytes:
    record = probed.record
    (alteration,) = (p for p in PROPERTIES if p.name == prop.name)
    shown = range(min(_SOUNDS_SHOWN, len(record.sounds)))
    return strip(
        prop,
        cells=[[cell_of(n, alteration, level) for level in prop.levels] for n in shown],
        labels=[record.sounds[n].label for n in shown],
        waveforms=probed.cells,
        images={
            run.name: {
                cell: path for (cell, draw), path in probed.images[run.run_id].items() if draw == 0
            }
            for run in record.runs
        },
    )


def strip_paths(record: ProbeRecord, out: Path) -> Sequence[Path]:
    """Where the strips lie."""
    return [out / STRIPS / f"{prop.name}.png" for prop in record.properties]
