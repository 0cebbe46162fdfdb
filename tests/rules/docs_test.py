"""Documents name only flags and files that exist.

A flag in a line of code that runs `fovea VERB` must be in that verb's --help; a flag standing alone in backticks must be
known to some verb, or to ./run."""

import os
import re
import subprocess
from functools import lru_cache

import pytest
from sources import ROOT

BINARY = os.environ.get("FOVEA_BINARY", str(ROOT / "build/release/bin/fovea"))
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def documents():
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def code_lines(text):
    """Lines of fenced or indented blocks (continuations joined), and spans in backticks."""
    text = text.replace("\\\n", " ")
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S):
        yield from block.splitlines()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    yield from re.findall(r"^    +(.*)", prose, re.M)
    yield from re.findall(r"`([^`\n]+)`", prose)


@lru_cache(maxsize=None)
def flags_of(*verb):
    shown = subprocess.run([BINARY, *verb, "--help"], capture_output=True, text=True, timeout=60, check=False)
    return frozenset(FLAG.findall(shown.stdout)) | {"--help"} if shown.returncode == 0 else None


@lru_cache(maxsize=None)
def verbs():
    shown = subprocess.run([BINARY, "--help"], capture_output=True, text=True, timeout=60, check=False).stdout
    listed = shown.split("Subcommands:")[-1] if "Subcommands:" in shown else ""
    return tuple(re.findall(r"^  ([a-z][a-z-]*)\b", listed, re.M))


def unknown_flags(line, run_flags):
    """Flags of one line of code that nothing has; lines about other programs are left alone."""
    words = line.split()
    programs = [i for i, word in enumerate(words) if word == "fovea" or word.endswith("/fovea")]
    if programs:
        rest = words[programs[0] + 1 :]
        verb = rest[0] if rest and rest[0] in verbs() else None
        known = (flags_of(verb) if verb else None) or flags_of()
        return sorted(set(FLAG.findall(line.split("fovea", 1)[1])) - known)
    if line.lstrip().startswith("--"):
        known = run_flags.union(flags_of(), *(flags_of(verb) or () for verb in verbs()))
        return sorted(set(FLAG.findall(line)) - known)
    return []


def test_documents_name_real_flags():
    if not os.path.exists(BINARY):
        pytest.skip("the command line is not built")
    run_flags = frozenset(FLAG.findall((ROOT / "run").read_text()))
    offences = [
        f"{path.relative_to(ROOT)}: {flag} in: {line.strip()}"
        for path in documents()
        for line in code_lines(path.read_text())
        for flag in unknown_flags(line, run_flags)
    ]
    assert not offences, "\n".join(offences)


def test_links_lead_somewhere():
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in documents()
        for target in LINK.findall(path.read_text())
        if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)
