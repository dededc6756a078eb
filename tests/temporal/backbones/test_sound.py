"""Log-mel patches: where a tone is, what silence is, and when a patch hears."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from temporal.backbones.sound import SoundNet, mel_bands, patch_samples, patches_around

RATE = 16_000


def tone(hertz: float, seconds: float = 3.0) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


@pytest.mark.parametrize("hertz", [200.0, 1000.0, 5000.0])
def test_a_tone_is_in_the_band_of_its_pitch(hertz: float) -> None:
    (patch_ML,) = patches_around(tone(hertz), RATE, [1.5], num_mels=64, num_steps=96)
    assert patch_ML.shape == (64, 96)
    low, high = (1127 * math.log(1 + edge / 700) for edge in (60.0, 7500.0))
    band = (1127 * math.log(1 + hertz / 700) - low) / (high - low) * 65 - 1
    found = patch_ML.mean(1).argmax().item()
    assert abs(found - band) <= 1
    assert patch_ML.std(1).max() < 0.2  # it is steady
    assert patch_ML[found].mean() > patch_ML.mean() + 3


def test_before_and_after_the_sound_it_is_silent() -> None:
    samples = np.concatenate([np.zeros(RATE, np.float32), tone(800, 1.0)])
    silent, half, loud, after = patches_around(
        samples, RATE, [0.5, 1.0, 1.5, 9.0], num_mels=16, num_steps=96
    )
    assert torch.equal(silent, torch.full((16, 96), math.log(0.01)))
    assert torch.equal(after, silent)
    assert torch.equal(half[:, :46], silent[:, :46]) and half[:, 60:].max() > 0
    assert loud.max() > 2
    nothing = patches_around(np.empty(0, np.float32), RATE, [0.0], num_mels=16, num_steps=4)
    assert torch.equal(nothing, torch.full((1, 16, 4), math.log(0.01)))


def test_bands_cover_the_spectrum_evenly_in_mel() -> None:
    bands_FM = mel_bands(40, 512, RATE)
    assert bands_FM.shape == (257, 40) and bands_FM.min() == 0 and bands_FM.max() <= 1
    inside = bands_FM[(torch.arange(257) * RATE / 512 > 100) & (torch.arange(257) < 220)].sum(1)
    assert inside.min() > 0.8 and inside.max() < 1.01
    assert bands_FM[0].sum() == 0  # what does not move is not heard
    assert patch_samples(96, RATE) == 15_600


def test_the_network_takes_any_dtype() -> None:
    patches = patches_around(tone(500), RATE, [0.5, 1.0], num_mels=16, num_steps=20)
    net = SoundNet(8)
    torch.testing.assert_close(net(patches.half()), net(patches), atol=1e-2, rtol=0)
    assert net(patches).shape == (2, 8)
