"""The small films of the readers of videos."""

from ..video.conftest import films as films
from ..video.conftest import single_gop as single_gop
from ..video.conftest import world as world
