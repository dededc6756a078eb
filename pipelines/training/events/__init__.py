"""Train a reader of events from a table of videos and what happens in them."""

from __future__ import annotations

from .train import EventOptions as EventOptions
from .train import train_events as train_events
