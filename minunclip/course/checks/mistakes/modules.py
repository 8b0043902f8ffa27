"""Mistakes in the modules that a learner builds."""

MISTAKES = {}
