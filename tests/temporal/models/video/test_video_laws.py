"""Every reader of videos keeps the laws; a new one is taken up by being registered."""

from __future__ import annotations

import pytest

from .video_laws import LAWS, World
from .video_readers import VIDEO_READERS


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", VIDEO_READERS)
def test_law(name: str, law: str, world: World) -> None:
    LAWS[law](name, world)
