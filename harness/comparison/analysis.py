"""What records allow one to say: pairs, intervals, adjusted p-values, one verdict.

Nothing here runs or draws anything; the same records always give the same numbers.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import UsageError
from harness.comparison.certified import refusals
from harness.comparison.clips import headline_clips
from harness.comparison.eligibility import eligibility, require_comparable
from harness.comparison.evidence import Looks
from harness.comparison.failures import earlier_failures_sentence
from harness.comparison.judging import Evidence, judge
from harness.comparison.listening import listening_of
from harness.comparison.near_real import near_real_rows
from harness.comparison.power import power_table
from harness.comparison.record import ComparisonRecord
from harness.comparison.rows import compared_run, pair_result
from harness.comparison.runs import LoadedRun
from harness.comparison.sentences import claim_sentence, shape_notices, verdict_sentence
from harness.comparison.shortfall import to_add
from harness.comparison.tables import metric_rows
from harness.comparison.tuning import (
    are_rates_tuned,
    chosen_by_sentence,
    inequalities,
    inequality_sentence,
    tuning_by_branch,
)
from harness.metrics.decidable import too_small
from harness.metrics.registry import metric as declared
from harness.records.certificate import Certificate
from harness.records.record import Status, now
from harness.settings.branch_config import Tuning
from harness.statistics.outcome import ALPHA, MAX_SEEDS, Strength
from harness.wording.data_kinds import group_word, groups_notice


def analyse(
    runs: Sequence[LoadedRun],
    *,
    metric: str,
    margins: Mapping[str, float] | None = None,
    folder: Path,
    command: str,
    allow_mixed_environment: bool = False,
    notices: Sequence[str] = (),
    tuning: Mapping[str, Tuning] | None = None,
    looks: Looks | None = None,
    certificates: Sequence[Certificate] = (),
) -> ComparisonRecord:
    """The comparison of finished and failed runs of one matrix; writes nothing.

    metric: what the verdict rests on. margins: by metric, differences too small to matter, set
    before the runs. folder: where the comparison will be saved; the runs' places are told from
    there. tuning: how branches were tuned, beyond what their records say. looks: at which numbers
    of seeds it was and will be decided. certificates: what the scorers were found to tell on this
    split; nothing about listening is claimed by one that is at chance.

    Raises:
        UsageError: no runs, more seeds than the exact test takes, or an unknown metric.
        MismatchError: records that may not be compared, naming the field.
        DataError: a per-clip table that is missing or damaged, or a tuning that no sweep writes.
    """
    if not runs:
        raise UsageError("no runs to compare")
    primary = declared(metric)
    records = [run.record for run in runs]
    require_comparable(
        records,
        allow_mixed_environment=allow_mixed_environment,
        folders=[run.folder for run in runs],
    )
    margins = margins or {}
    finished = [run for run in runs if run.record.status is Status.FINISHED]
    failed = [r for r in records if r.status is Status.FAILED]
    done = [run.record for run in finished]
    branches = list(dict.fromkeys(r.identity.variant for r in records))
    tuned = tuning_by_branch(records, known=tuning)
    flattered = chosen_by_sentence(tuned, seeds=[r.identity.seed for r in records])
    retried = earlier_failures_sentence(records)
    unequal = inequalities(branches, tuning=tuned, split_hash=records[0].identity.split_hash)
    seeds = sorted({r.identity.seed for r in done})
    if len(seeds) > MAX_SEEDS:
        raise UsageError(f"{len(seeds)} seeds; a comparison takes at most {MAX_SEEDS}")
    looks = looks or Looks()
    evidence = Evidence(done, headline_clips(finished))
    judged = judge(
        done,
        metric,
        # A run that failed or has no value must not drop out of the pairing unseen.
        is_whole=not failed,
        evidence=evidence,
        margins=margins,
        looks=looks,
        certificates=certificates,
    )
    is_tested, num_decided = judged.is_tested, judged.num_decided
    return ComparisonRecord(
        name=folder.name,
        created_at=now(),
        command=command,
        profile=records[0].identity.profile,
        metric=metric,
        higher_is_better=primary.higher_is_better,
        alpha=ALPHA,
        verdict=verdict_sentence(
            metric=metric,
            records=done,
            failed=failed,
            outcome=judged.outcome,
            winner=judged.winner,
            population=judged.population,
            caution=judged.caution,
            num_pairs=len(judged.pairs),
            num_decided=num_decided,
            is_exploratory=judged.strength is Strength.EXPLORATORY,
        ),
        outcome=judged.outcome,
        winner=judged.winner,
        strength=judged.strength,
        claim=claim_sentence(
            judged.outcome,
            is_tested=is_tested,
            num_seeds=len(seeds),
            num_pairs=max(1, math.comb(len(branches), 2)),
            alpha=ALPHA,
            population=judged.population,
            trainings=judged.trainings,
            looks=looks,
            num_decided=num_decided,
            are_rates_tuned=are_rates_tuned(branches, tuning=tuned),
            is_by_signs=any(pair.difference.sd == 0 for pair in judged.deciding),
        ),
        branches=branches,
        seeds=seeds,
        pairs=[
            pair_result(pair, metric, evidence, adjustment="holm", looks=looks.planned)
            for pair in judged.pairs
        ],
        secondary=[
            pair_result(pair, name, evidence, adjustment="benjamini_hochberg")
            for name, pair in judged.secondary
        ],
        metrics=metric_rows(records, branches=branches, primary=metric),
        runs=[compared_run(run, folder=folder) for run in _in_order(runs, branches)],
        failed=[r.run_id for r in failed],
        eligibility=eligibility(records),
        power=power_table(
            len(seeds),
            num_branches=len(branches),
            sds={
                f"{pair.first} - {pair.second}": pair.difference.sd
                for pair in judged.pairs
                if math.isfinite(pair.difference.sd)
            },
            looks=looks.planned,
            alpha=ALPHA,
        ),
        tuning=tuned,
        notices=[
            *notices,
            *too_small(
                {name: row.get("test", 0) for name, row in records[0].split.counts.items()},
                metric=primary,
                word=group_word(records[0].split.kind),
            ),
            *groups_notice(records[0].split.kind),
            *([inequality_sentence(unequal)] if unequal else ()),
            *([flattered] if flattered else ()),
            *([retried] if retried else ()),
            *([] if judged.trainings is None else shape_notices(judged.trainings)),
        ],
        population=judged.population,
        trainings=judged.trainings,
        looks=looks,
        to_add=to_add(
            done, judged.deciding, outcome=judged.outcome, alpha=ALPHA, looks=looks.planned
        )
        if is_tested
        else None,
        near_real=[] if failed else near_real_rows(evidence, branches=branches, margins=margins),
        listening=listening_of(
            done, branches=branches, primary=metric, refused=refusals(done, certificates)
        ),
        certificates=list(certificates),
    )


def _in_order(runs: Sequence[LoadedRun], branches: Sequence[str]) -> list[LoadedRun]:
    place = {branch: index for index, branch in enumerate(branches)}
    return sorted(
        runs, key=lambda run: (run.record.identity.seed, place[run.record.identity.variant])
    )
