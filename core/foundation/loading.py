"""Models of transformers and diffusers, loaded with every weight there or not at all."""

from pickle import UnpicklingError
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from core.errors import MissingWeightsError
from core.foundation.constructors import note_constructors
from core.foundation.layout import Part as PartFiles
from core.foundation.sources import Source, missing_weights

DAMAGED = (
    *(OSError, ValueError, TypeError, AttributeError, RuntimeError),
    *(SafetensorError, UnpicklingError, StrictDataclassError),
)
"""What the libraries raise on model files that are missing or not what they should be."""


def load_whole(cls: Any, source: Source, part: str, *, files: PartFiles) -> Any:
    """`cls.from_pretrained` of a source, with every weight there: the libraries would draw a
    missing one at random and go on.

    files: where the part lies in the source, and which of its weights are taken.

    Raises:
        MissingWeightsError: the part is missing, damaged, or lacks some of its weights.
    """
    note_constructors()
    try:
        model, found = cls.from_pretrained(
            source.folder,
            subfolder=files.subfolder,
            local_files_only=True,
            output_loading_info=True,
            **files.take_weights(source.folder).arguments,
        )
    except MissingWeightsError as error:
        raise missing_weights(source, part, error) from None
    except DAMAGED as error:
        raise missing_weights(source, part, error) from error
    absent = sorted(found["missing_keys"])
    if absent:
        cause = ValueError(f"{len(absent)} of its weights are missing: {', '.join(absent[:3])}")
        raise missing_weights(source, part, cause)
    return model
