"""The progress bar: on a terminal only, gone when the program ends, and never in one line with a message."""

import os
import pty
import re
import subprocess

import pytest
from tool import BINARY, PICTURES, fovea

CLEAR = "\r\x1b[2K"


def on_a_terminal(*arguments):
    """-> what a terminal as stderr receives"""
    master, slave = pty.openpty()
    with subprocess.Popen([BINARY, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=slave) as process:
        os.close(slave)
        received = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not part:
                break
            received += part
        os.close(master)
        assert process.wait(60) == 0, received
    return received.decode()


def bars(text):
    return re.findall(r"\r\x1b\[2K(\D+) \[#* *\] +\d+%", text)


def test_bench_shows_what_it_does(two_layer_engine):
    command = ["bench", two_layer_engine, "--seconds", 0.2, "--warmup", 0.2, "--threads", 1]
    text = on_a_terminal(*command)
    assert {"warming up", "measuring"} == set(bars(text)) and text.endswith(CLEAR)
    assert fovea(*command).stderr == ""


def test_run_shows_how_far_it_is(detector):
    text = on_a_terminal("run", detector, *[PICTURES / f"{i:06}.jpg" for i in (1, 2, 3)])
    assert bars(text) == ["detecting"] * 3 and text.endswith(CLEAR)


@pytest.mark.parametrize("options, message", [(["--print-ir-after", "slices"], "fovea: warning: "),
                                              (["-v", "--verify"], "fovea: --verify: ")])
def test_a_message_takes_the_place_of_the_bar(two_layer_model, tmp_path, options, message):
    text = on_a_terminal("compile", two_layer_model, "-o", tmp_path / "model.fov", "--timing", "off", *options)
    assert bars(text) and f"%{CLEAR}{message}" in text
