"""Engines that the tests of a file share."""

import pytest
from tool import SMALL_SSD, save, succeeds, two_layers


@pytest.fixture(scope="session")
def two_layer_model(tmp_path_factory):
    return save(two_layers(), tmp_path_factory.mktemp("two_layers") / "two_layers.onnx")


@pytest.fixture(scope="session")
def two_layer_engine(two_layer_model):
    engine = two_layer_model.with_suffix(".fov")
    succeeds("compile", two_layer_model, "-o", engine, "--timing", "off", "--threads", 2)
    return engine


@pytest.fixture(scope="session")
def detector(tmp_path_factory):
    """models/small_ssd with its card: takes pictures, gives boxes"""
    engine = tmp_path_factory.mktemp("small_ssd") / "small_ssd.fov"
    succeeds("compile", SMALL_SSD / "small_ssd.onnx", "-o", engine, "--card", SMALL_SSD / "card.toml", "--timing", "off",
             "--threads", 2)
    return engine
