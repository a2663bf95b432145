"""The settings of a variant, apart from its modules so that they load without torch."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class VariantConfig(BaseModel):
    """Base of a variant's settings: frozen, and a key nothing reads is refused.

    Each field's docstring is its description.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    def sources(self) -> dict[str, str]:
        """Sources of pretrained parts it loads, by role; the id of a run covers their hashes."""
        return {}

    def in_effect(self) -> dict[str, Any]:
        """Every setting as JSON has it, an unset one with what it stands for.

        None stays where nothing stands for it, since the other choices leave it unread.
        """
        return self.model_dump(mode="json")
