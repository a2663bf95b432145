"""Scorers judged on real clips: what they tell apart, and what changes it."""
