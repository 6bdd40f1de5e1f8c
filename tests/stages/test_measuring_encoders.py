"""Effects are measured on an encoder that was not attacked, and on another if that is damaged."""

from __future__ import annotations

import pytest
import torch

from artscraper_runner.models.taesd import TaesdNetwork
from artscraper_runner.stages import load_stage

from .attack_layers import (
    inputs_for,
)


def test_effect_is_measured_on_an_unattacked_encoder(kodak, models_dir):
    stage, inputs = load_stage("photoguard"), inputs_for(kodak, models_dir=models_dir)
    measured = stage.measure(stage.apply(inputs).pixels, inputs)["unattacked"]
    assert measured["encoder"] == "taef2"
    assert measured["times_noise"]["plain"] > 1


@pytest.mark.system
@pytest.mark.parametrize("encoder", ["taesd", "ensemble:taesd+taef2"])
def test_bundled_encoder_measures_attacks_on_others(encoder, textured, tmp_path):
    for name, channels, pooled in (("taesd", 4, False), ("taef2", 32, True)):
        network = TaesdNetwork(latent_channels=channels, pooled=pooled)
        torch.save(network.state_dict(), tmp_path / f"{name}_encoder.pth")
    if encoder == "taesd":
        (tmp_path / "taef2_encoder.pth").write_bytes(b"PK damaged")
    inputs = inputs_for(textured, encoder=encoder, models_dir=tmp_path)
    stage = load_stage("photoguard")
    layer = stage.apply(inputs).pixels
    for measured in (stage.measure(layer, inputs), stage.measure_final(layer, inputs)):
        assert measured["encoder"] == encoder
        assert measured["unattacked"]["encoder"] == "bundled"
        assert measured["unattacked"]["effect"]["plain"] > 0


@pytest.mark.parametrize("damage", ["bytes", "numbers"])
def test_damaged_measuring_encoder_is_only_noted(textured, tmp_path, damage):
    state = TaesdNetwork(latent_channels=32, pooled=True).state_dict()
    state["0.weight"][0] = float("nan")
    torch.save(state, tmp_path / "taef2_encoder.pth")
    if damage == "bytes":
        (tmp_path / "taef2_encoder.pth").write_bytes(b"PK damaged")
    stage, inputs = load_stage("photoguard"), inputs_for(textured, models_dir=tmp_path)
    layer = stage.apply(inputs).pixels
    for measured in (stage.measure(layer, inputs), stage.measure_final(layer, inputs)):
        assert measured["effect"]["plain"] > 0
        assert set(measured["unattacked"]) == {"encoder", "error"}
        assert measured["unattacked"]["encoder"] == "taef2"
        assert "taef2_encoder.pth is not usable" in measured["unattacked"]["error"]
        assert str(tmp_path) not in measured["unattacked"]["error"]


def test_damaged_measuring_encoder_is_replaced_by_the_next(textured, tmp_path):
    (tmp_path / "taef2_encoder.pth").write_bytes(b"")
    network = TaesdNetwork(latent_channels=4, pooled=False)
    torch.save(network.state_dict(), tmp_path / "taesd_encoder.pth")
    stage, inputs = load_stage("photoguard"), inputs_for(textured, models_dir=tmp_path)
    measured = stage.measure(stage.apply(inputs).pixels, inputs)["unattacked"]
    assert measured["encoder"] == "taesd"
    assert "plain" in measured["times_noise"]
