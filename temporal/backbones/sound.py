"""Sound as a policy hears it: log-mel patches around moments, and a small network for them.

T samples, S moments, M mel bands, L steps of a patch, D width of what the network says.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from .glance import GlanceNet, halving_layers

_WINDOW_SECONDS, _STEP_SECONDS = 0.025, 0.010
_LOWEST_HERTZ, _HIGHEST_HERTZ = 60.0, 7500.0
_FLOOR = 0.01
"""Added to what is loud, so that the logarithm of silence is that of this."""


def patch_samples(num_steps: int, rate: int) -> int:
    """Samples that a patch of so many steps needs: 15,600 of 16,000 a second for 96."""
    window, step = round(_WINDOW_SECONDS * rate), round(_STEP_SECONDS * rate)
    return (num_steps - 1) * step + window


def patches_around(
    samples_T: Any, rate: int, moments_seconds: Any, *, num_mels: int, num_steps: int
) -> Tensor:
    """Log-mel patches around moments, float32 `[S, M, L]`; before and after the sound it is silent.

    Windows of 25 ms every 10 ms, magnitudes of their spectra summed in bands that lie evenly in mel
    from 60 to 7,500 Hz (up to half of the rate), and the logarithm of that, as VGGish hears
    (Hershey et al., ICASSP 2017).

    Args:
        samples_T: float, in [-1, 1].
        rate: samples of a second.
        moments_seconds: S, when the middle of each patch is heard, from the first sample on.
        num_mels: M.
        num_steps: L.
    """
    samples_T = torch.as_tensor(samples_T, dtype=torch.float32)
    moments = torch.as_tensor(moments_seconds, dtype=torch.float64)
    length = patch_samples(num_steps, rate)
    starts_S = (moments * rate).round().long() - length // 2
    places_SP = starts_S[:, None] + torch.arange(length)
    if len(samples_T):
        heard_SP = (places_SP >= 0) & (places_SP < len(samples_T))
        pieces_SP = samples_T[places_SP.clamp(0, len(samples_T) - 1)] * heard_SP
    else:
        pieces_SP = torch.zeros(places_SP.shape)
    window, step = round(_WINDOW_SECONDS * rate), round(_STEP_SECONDS * rate)
    cut_SLW = pieces_SP.unfold(1, window, step) * torch.hann_window(window)
    size = 1 << (window - 1).bit_length()
    loud_SLF = torch.fft.rfft(cut_SLW, n=size).abs()
    return (loud_SLF @ mel_bands(num_mels, size, rate) + _FLOOR).log().transpose(1, 2)


@lru_cache(maxsize=8)
def mel_bands(num_mels: int, size: int, rate: int) -> Tensor:
    """What each frequency of a spectrum adds to each band, triangles `[size / 2 + 1, M]`."""
    hertz_F = torch.arange(size // 2 + 1) * (rate / size)
    ends = torch.tensor([_LOWEST_HERTZ, min(_HIGHEST_HERTZ, rate / 2)])
    low, high = _mel(ends).tolist()
    edges = torch.linspace(low, high, num_mels + 2)
    mel_F1 = _mel(hertz_F)[:, None]
    rising = (mel_F1 - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel_F1) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)


def _mel(hertz: Tensor) -> Tensor:
    return 1127 * (1 + hertz / 700).log()


class SoundNet(nn.Module):
    """Three convolutions with a step of two over a patch, and the mean over it: as `GlanceNet`.

    With 64 bands and 96 steps it takes some 4 million multiply-accumulates a patch.

    Args:
        num_features: D.
    """

    def __init__(self, num_features: int = 64) -> None:
        super().__init__()
        self.layers = halving_layers(1)
        self.project = nn.Linear(GlanceNet.num_maps, num_features)

    def forward(self, patches_nML: Tensor) -> Tensor:
        """Log-mel patches to features `[n, D]`."""
        weight = self.project.weight
        patches_n1ML = patches_nML[:, None].to(weight.device, weight.dtype) / 4 + 0.5
        said_nD: Tensor = self.project(self.layers(patches_n1ML).mean((2, 3)))
        return said_nD
