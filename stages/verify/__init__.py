"""Verify: what a form of the model is worth. How well it finds, how much was lost, how fast it is."""

from stages.evaluation.scores import ClassScore
from stages.verify.compare import ClassDrift, Compare, Compared, CompareInputs
from stages.verify.evaluate import Evaluate, Evaluated, EvaluateInputs
from stages.verify.measure import Measure, Measured, MeasureInputs

__all__ = [
    "ClassDrift",
    "ClassScore",
    "Compare",
    "CompareInputs",
    "Compared",
    "Evaluate",
    "EvaluateInputs",
    "Evaluated",
    "Measure",
    "MeasureInputs",
    "Measured",
]
