"""Recurrent cells that compute only what a decision asks for."""

from .cells import NUM_GATES as NUM_GATES
from .cells import State as State
from .cells import dense_states as dense_states
from .cells import read_block as read_block
from .cells import read_cell as read_cell
from .cells import skim_cell as skim_cell
