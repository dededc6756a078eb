"""transformers' text encoders, taken apart into embedding, layers and answer."""

from .families import FAMILIES as FAMILIES
from .families import Family as Family
from .families import family_of as family_of
from .families import max_positions as max_positions
from .families import own_attention as own_attention
from .padding import MASKS_PADDING as MASKS_PADDING
from .padding import padding_id as padding_id
from .tokens import PackedTokens as PackedTokens
from .tokens import PaddedTokens as PaddedTokens
from .tokens import Tokens as Tokens
