"""Verify: what a form of the model is worth. How well it finds, how much was lost, how fast it is."""

from stages.evaluation.scores import ClassScore
from stages.verify.compare import ClassDrift, Compare, Compared, CompareInputs
from stages.verify.evaluate import Evaluate, Evaluated, EvaluateInputs
from stages.verify.measure import Measure, Measured, MeasureInputs
from stages.verify.receive import Arrived, Receive, Received, ReceiveInputs
from stages.verify.score import Score, ScoreInputs

__all__ = [
    "Arrived",
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
    "Receive",
    "ReceiveInputs",
    "Received",
    "Score",
    "ScoreInputs",
]
