"""Structured pruning: couple (what must shrink together), score (what stays), cut (plan, apply, fit)."""

from tltpy.prune.couple import layers
from tltpy.prune.cut import Plan, Row, Settings, Survey, apply, choose, fit, plan, search, survey

__all__ = ["Plan", "Row", "Settings", "Survey", "apply", "choose", "fit", "layers", "plan", "search", "survey"]
