"""Recurrent cells that compute only what a decision asks for."""

from .skim_lstm import read_cell as read_cell
from .skim_lstm import skim_cell as skim_cell
