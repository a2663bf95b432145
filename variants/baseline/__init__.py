"""Baseline branch: an adapter turns the pooled CLAP embedding into tokens beside the text."""

from variants.baseline.variant import Baseline

VARIANT = Baseline
