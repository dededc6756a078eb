"""Sources in memory and their reading, as the tests of the readers use them."""

from ..models.conftest import random_words as random_words
from ..models.conftest import read_all as read_all
