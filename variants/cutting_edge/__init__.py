"""Cutting-edge branch: a Mamba audio encoder over log-mel patches, and SSF on the UNet."""

from variants.cutting_edge.variant import CuttingEdge

VARIANT = CuttingEdge
