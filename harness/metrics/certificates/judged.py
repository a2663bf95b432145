"""Real clips as each scorer sees and hears them, as they are and altered.

Shape legend: N clips, D embedding width, A attributes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.metrics.arms import ScoredClip
from harness.metrics.batch import WaveformOf
from harness.metrics.certificates.alterations import (
    CROP,
    OF_PICTURES,
    PictureAlteration,
    SoundAlteration,
)
from harness.metrics.certificates.question import (
    Alteration,
    Question,
    View,
    each_alteration,
    no_view,
)
from harness.metrics.extractor import Extractor
from harness.metrics.pairing import MIN_CLIPS, folds, paired_similarity
from harness.metrics.per_clip import unit_rows
from harness.metrics.pictures import read_centre_square
from harness.metrics.scorers.scorers import Scorers
from harness.records.certificate import Task

Array = NDArray[np.float64]
MOST_FOR_LPIPS = 32
"""Clips that LPIPS compares, each with each."""


class Judged:
    """The clips through all scorers; every embedding is computed once."""

    def __init__(
        self,
        clips: Sequence[ScoredClip],
        *,
        scorers: Scorers,
        waveform_of: WaveformOf,
        folder: Path,
    ) -> None:
        """folder: where altered pictures may be written. Every clip has a picture."""
        self.clips = tuple(clips)
        self.scorers = scorers
        self._waveform_of = waveform_of
        self._folder = folder
        self._known: dict[tuple[str, Alteration | None], Array] = {}

    def questions(self) -> list[Question]:
        """What every scorer that is there can be asked."""
        found = [
            self._sound(),
            self._pairing(),
            self._attributes(),
            self._sources(),
            self._caption(),
        ]
        found += [self._picture(extractor) for extractor in _OF_FEATURES]
        return [*(one for one in found if one is not None), *self._lpips()]

    # Pairs of picture and partner --------------------------------------------------------

    def _sound(self) -> Question | None:
        scorer = self.scorers.extractor(Extractor.JOINT)
        agreement = self.scorers.agreement
        if scorer is None or agreement is None:
            return None

        def view(of_picture: Alteration | None, of_sound: Alteration | None) -> View:
            seen = self._of("seen", of_picture, agreement.see)
            heard = self._heard("heard", of_sound, agreement.hear)
            moved = None
            if of_picture is not None:
                moved = self._moved(self._of("seen", None, agreement.see), seen)
            if of_sound is not None:
                moved = self._moved(self._heard("heard", None, agreement.hear), heard)
            return View(agreement.similarity(seen, heard), moved)

        return self._question(
            Task.SOUND,
            scorer=scorer,
            plain=lambda: view(None, None),
            altered=each_alteration(view),
        )

    def _pairing(self) -> Question | None:
        """The regression of `pair_win`, fitted on unaltered pairs of other folds."""
        scorer = self.scorers.extractor(Extractor.SOUND_AND_PICTURE)
        sound, picture = self.scorers.sound, self.scorers.picture
        if scorer is None or sound is None or picture is None:
            return None
        if len(self.clips) < MIN_CLIPS:
            reason = f"{len(self.clips)} clips; the regression between sounds and pictures needs "
            nothing = self._question(Task.SOUND, scorer=scorer, plain=no_view, altered={})
            return replace(nothing, undefined=f"{reason}{MIN_CLIPS}")
        fold_N = folds([clip.sample_id for clip in self.clips])

        def view(of_picture: Alteration | None, of_sound: Alteration | None) -> View:
            pictures = self._of(Extractor.PICTURE.value, None, picture.images)
            seen = self._of(Extractor.PICTURE.value, of_picture, picture.images)
            sounds = self._heard("sound", None, sound.embed)
            heard = self._heard("sound", of_sound, sound.embed)
            moved = None
            if of_picture is not None:
                moved = self._moved(pictures, seen)
            if of_sound is not None:
                moved = self._moved(sounds, heard)
            similarity_NN, _ = paired_similarity(
                unit_rows(seen),
                sounds_RD=unit_rows(sounds),
                pictures_RE=unit_rows(pictures),
                fold_R=fold_N,
                heard_RD=unit_rows(heard),
            )
            return View(similarity_NN, moved)

        one = self._question(
            Task.SOUND,
            scorer=scorer,
            plain=lambda: view(None, None),
            altered=each_alteration(view),
        )
        return replace(one, folds=tuple(int(fold) for fold in fold_N))

    def _attributes(self) -> Question | None:
        judge = self.scorers.image_judge
        if judge is None:
            return None
        own = [clip.attributes or {} for clip in self.clips]
        places = [
            index
            for index, name in enumerate(judge.attribute_names)
            if all(name in of_clip for of_clip in own)
        ]
        if not places:
            return None
        names = [judge.attribute_names[index] for index in places]
        true_NA = np.array([[of_clip[name] for name in names] for of_clip in own])

        def read(alteration: Alteration | None) -> Array:
            whole = self._of("attributes", alteration, lambda paths: judge.read(paths).attributes)
            return whole[:, places]

        def view(alteration: Alteration | None) -> View:
            read_NA = read(alteration)
            distance_NN = np.abs(read_NA[:, None] - true_NA[None]).mean(axis=2)
            if alteration is None:
                return View(-distance_NN)
            plain_NA = read(None)
            apart_NN = np.abs(plain_NA[:, None] - plain_NA[None]).mean(axis=2)
            moved_N = np.abs(plain_NA - read_NA).mean(axis=1)
            return View(-distance_NN, self._share(moved_N, apart_NN))

        return self._of_pictures(Task.ATTRIBUTES, (judge.name, judge.fingerprint), view)

    def _sources(self) -> Question | None:
        judge = self.scorers.source_judge
        labels = [set(clip.labels) for clip in self.clips]
        if judge is None or not all(labels) or set().union(*labels) - set(judge.source_names):
            return None
        own_NK = np.array(
            [[name in own for name in judge.source_names] for own in labels], dtype=np.float64
        )

        def view(alteration: Alteration | None) -> View:
            found_NK = self._of("sources", alteration, judge.read)
            distance_NN = np.abs(found_NK[:, None] - own_NK[None]).mean(axis=2)
            if alteration is None:
                return View(-distance_NN)
            plain_NK = self._of("sources", None, judge.read)
            apart_NN = np.abs(plain_NK[:, None] - plain_NK[None]).mean(axis=2)
            moved_N = np.abs(plain_NK - found_NK).mean(axis=1)
            return View(-distance_NN, self._share(moved_N, apart_NN))

        return self._of_pictures(Task.SOURCES, (judge.name, judge.fingerprint), view)

    def _caption(self) -> Question:
        clip = self.scorers.clip
        texts = list(dict.fromkeys(one.caption for one in self.clips))
        row = {text: index for index, text in enumerate(texts)}
        partner_ND = clip.texts(texts)[[row[one.caption] for one in self.clips]]

        def view(alteration: Alteration | None) -> View:
            seen = self._of("clip", alteration, clip.images)
            moved = None
            if alteration is not None:
                moved = self._moved(self._of("clip", None, clip.images), seen)
            return View(unit_rows(seen) @ unit_rows(partner_ND).T, moved)

        return self._of_pictures(Task.CAPTION, (clip.name, clip.fingerprint), view)

    # Pictures alone ----------------------------------------------------------------------

    def _picture(self, extractor: Extractor) -> Question | None:
        scorer = self.scorers.extractor(extractor)
        if scorer is None:
            return None

        def embed(paths: Sequence[Path]) -> Array:
            if extractor is Extractor.IMAGE_JUDGE and self.scorers.image_judge is not None:
                return self.scorers.image_judge.read(paths).features
            network = self.scorers.pictures(extractor)
            assert network is not None
            return network.images(paths)

        def view(alteration: Alteration | None) -> View:
            plain = self._of(extractor.value, None, embed)
            seen = self._of(extractor.value, alteration, embed)
            return View(unit_rows(seen) @ unit_rows(plain).T, self._moved(plain, seen))

        question = self._of_pictures(Task.PICTURE, scorer, view)
        # Unaltered it is its own picture: what is asked is whether it is known again when cropped.
        return replace(question, plain=lambda: view(CROP))

    def _lpips(self) -> list[Question]:
        lpips = self.scorers.lpips
        if lpips is None:
            return []
        chosen = in_turn(self.clips)[:MOST_FOR_LPIPS]
        place = {clip.sample_id: index for index, clip in enumerate(self.clips)}
        paths = [self._paths(None)[place[clip.sample_id]] for clip in chosen]
        num = len(chosen)

        def view(alteration: Alteration) -> View:
            changed = [self._paths(alteration)[place[clip.sample_id]] for clip in chosen]
            whole = lpips.pairwise([*changed, *paths])
            distance_NN, apart_NN = whole[:num, num:], whole[num:, num:]
            moved = self._share(np.diag(distance_NN), apart_NN, clips=chosen)
            return View(-distance_NN, moved)

        return [
            Question(
                task=Task.PICTURE,
                scorer=lpips.name,
                scorer_hash=lpips.fingerprint,
                clips=tuple(chosen),
                plain=lambda: view(CROP),
                altered={
                    one: (lambda one=one: view(one))  # type: ignore[misc]
                    for one in OF_PICTURES
                },
            )
        ]

    # Parts -------------------------------------------------------------------------------

    def _question(
        self,
        task: Task,
        *,
        scorer: tuple[str, str],
        plain: Callable[[], View],
        altered: Mapping[Alteration, Callable[[], View]],
    ) -> Question:
        """About all clips. scorer: its name and its hash."""
        name, digest = scorer
        return Question(
            task=task,
            scorer=name,
            scorer_hash=digest,
            clips=self.clips,
            plain=plain,
            altered=altered,
        )

    def _of_pictures(
        self, task: Task, scorer: tuple[str, str], view: Callable[[Alteration | None], View]
    ) -> Question:
        altered: dict[Alteration, Callable[[], View]] = {
            one: (lambda one=one: view(one))  # type: ignore[misc]
            for one in OF_PICTURES
        }
        return self._question(task, scorer=scorer, plain=lambda: view(None), altered=altered)

    def _of(
        self,
        what: str,
        alteration: Alteration | None,
        embed: Callable[[Sequence[Path]], Array],
    ) -> Array:
        if (what, alteration) not in self._known:
            self._known[what, alteration] = embed(self._paths(alteration))
        return self._known[what, alteration]

    def _heard(
        self,
        what: str,
        alteration: Alteration | None,
        hear: Callable[[list[NDArray[np.float32]]], Array],
    ) -> Array:
        key = (what, alteration)
        if key not in self._known:
            change = alteration.alter if isinstance(alteration, SoundAlteration) else None
            rows = []
            for clip in self.clips:  # one at a time: a split of sounds may not fit into memory
                wave = self._waveform_of(clip.sample_id)
                rows.append(hear([wave if change is None else change(wave)]))
            self._known[key] = np.concatenate(rows)
        return self._known[key]

    def _paths(self, alteration: Alteration | None) -> list[Path]:
        paths = [clip.image for clip in self.clips if clip.image is not None]
        if not isinstance(alteration, PictureAlteration):
            return paths
        folder = self._folder / f"{OF_PICTURES.index(alteration)}"
        changed = [folder / f"{number}.png" for number in range(len(paths))]
        if not folder.is_dir():
            folder.mkdir(parents=True)
            for path, out in zip(paths, changed, strict=True):
                Image.fromarray(alteration.alter(read_centre_square(path))).save(out)
        return changed

    def _moved(self, plain_ND: Array, altered_ND: Array) -> float | None:
        plain, altered = unit_rows(plain_ND), unit_rows(altered_ND)
        return self._share(1 - np.einsum("nd,nd->n", plain, altered), 1 - plain @ plain.T)

    def _share(
        self, moved_N: Array, apart_NN: Array, *, clips: Sequence[ScoredClip] | None = None
    ) -> float | None:
        """Mean of the first over the mean of the second between clips of one class."""
        names = np.array([clip.class_name for clip in clips or self.clips])
        pairs = (names[:, None] == names[None, :]) & ~np.eye(len(names), dtype=bool)
        scale = float(apart_NN[pairs].mean()) if pairs.any() else 0.0
        return max(0.0, float(moved_N.mean())) / scale if scale > 0 else None


def in_turn(clips: Sequence[ScoredClip]) -> list[ScoredClip]:
    """The clips with the classes in turn, so that the first few have others of their class."""
    by_class: dict[str, list[ScoredClip]] = {}
    for clip in sorted(clips, key=lambda one: one.sample_id):
        by_class.setdefault(clip.class_name, []).append(clip)
    deepest = max(map(len, by_class.values()), default=0)
    return [own[k] for k in range(deepest) for _, own in sorted(by_class.items()) if k < len(own)]


_OF_FEATURES = (
    Extractor.CLIP,
    Extractor.IMAGE_JUDGE,
    Extractor.INCEPTION,
    Extractor.DINOV2,
    Extractor.PICTURE,
)
