"""Labelled clips and texts for training, read while it goes on: nothing is held but a buffer."""

from .bad_clips import BadClip as BadClip
from .bad_clips import read_bad_clips as read_bad_clips
from .clips import ClipList as ClipList
from .dataset import ClipDataset as ClipDataset
from .loader import ClipLoader as ClipLoader
from .loading import load_clips as load_clips
