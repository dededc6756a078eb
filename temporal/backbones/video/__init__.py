"""transformers' video classifiers, taken apart into patches, layers and answer."""

from .clip_tokens import ClipTokens as ClipTokens
from .clip_tokens import Look as Look
from .families import FAMILIES as FAMILIES
from .families import VideoFamily as VideoFamily
from .families import family_of as family_of
from .patches import grid_of as grid_of
from .patches import patches_of as patches_of
