"""Training, scoring and predicting: the verbs of the command line as functions."""

from polysense.training.evaluate import evaluate
from polysense.training.predict import Prediction, Predictor
from polysense.training.settings import TrainingSettings
from polysense.training.train import train

__all__ = ["Prediction", "Predictor", "TrainingSettings", "evaluate", "train"]
