"""Names of files that hold moving pictures."""

from __future__ import annotations

from pathlib import PurePath

_SUFFIXES = """
264 265 3g2 3gp amv apng asf av1 avc avi divx dv dvr-ms f4v flv gif gxf h264 h265 hevc ivf m1v m2p
m2t m2ts m2v m4v mjpeg mjpg mk3d mkv mod mov mp4 mpe mpeg mpg mpv mts mxf nsv nut obu ogg ogm ogv
ogx qt rm rmvb tod ts vc1 vob webm webp wmv wtv xvid y4m
"""
_PLAIN_NAMES = """
authors changelog checksums copying dockerfile license licence makefile manifest md5sums notice
readme sha256sums todo version
"""

MEDIA_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
"""Suffixes of videos and of moving images, in lower case."""


def is_media_name(name: str) -> bool:
    """Whether a file of this name may hold a video; one without a suffix may, but for READMEs."""
    path = PurePath(name)
    suffix = path.suffix.lower()
    return suffix in MEDIA_SUFFIXES if suffix else path.name.lower() not in _PLAIN_NAMES.split()
