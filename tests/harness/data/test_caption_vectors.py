"""Captions as a profile's frozen text encoder reads them, to group data of captions alone."""

import numpy as np

from core.data.items import DataKind, Item, Status
from core.data.manifest import Manifest
from core.data.splits.make import make_split
from harness.data.caption_vectors import caption_vectors


def test_clips_are_grouped_by_what_the_text_encoder_makes_of_all_their_captions(tmp_path):
    """Catches: vectors in another order than the clips, or the first of several captions alone."""
    texts = ("A scene with fire sound", "A scene with siren sound")
    captions = {f"c{k:02d}": (texts[k % 2],) for k in range(40)} | {"c40": texts}
    items = tuple(
        Item(
            id_, Status.INCLUDED, caption=own[0], captions=own if len(own) > 1 else (), source=id_,
            audio_path=f"{id_}.wav", image_path=f"{id_}.png", audio_sha256=f"a{id_}",
            image_sha256=f"i{id_}", duration_s=1.0,
        )
        for id_, own in captions.items()
    )  # fmt: skip
    manifest = Manifest(tmp_path, items, len(items), kind=DataKind.CAPTIONS)
    found = caption_vectors(manifest, profile="tiny")
    fire, siren, both = (np.array(found.by_id[id_]) for id_ in ("c00", "c01", "c40"))
    np.testing.assert_array_equal(fire, found.by_id["c38"])
    assert np.abs(fire - siren).max() > 1e-3
    np.testing.assert_allclose(both, (fire + siren) / 2)
    split = make_split(manifest, vectors=found)
    assert "embedded:stable_diffusion" in str(split.rule.groups)
    groups = {split.samples[id_].class_name for id_ in ("c00", "c01")}
    assert len(groups) == len(split.classes) == 2
