"""What a library must not do: end the process, or write to the streams of its caller. Errors are Status, text goes to the log sink."""

import re

from sources import ROOT, code, cpp_files

FORBIDDEN = re.compile(
    r"\b(?:std::)?(?:abort|exit|_exit|quick_exit|terminate)\s*\("
    r"|\bstd::(?:cerr|cout|clog)\b"
    r"|\b(?:std::)?(?:printf|fprintf|vprintf|vfprintf|puts|fputs|perror)\s*\("
    r"|\bfmt::print\w*\s*\("
)
# The default log sink is the one place that may write to stderr.
ALLOWED = {"src/base/log.cc"}


def test_library_neither_exits_nor_prints():
    offences = []
    for path in cpp_files("src"):
        if str(path) in ALLOWED:
            continue
        for number, line in enumerate(code(path).splitlines(), 1):
            match = FORBIDDEN.search(line)
            if match:
                offences.append(f"{path}:{number}: {match.group(0)}")
    assert not offences, "\n".join(offences)


def test_headers_are_guarded():
    # Highway compiles an -inl.h once for each instruction set: it guards itself by HWY_TARGET_TOGGLE.
    bare = [str(path) for path in cpp_files("src", "include", "tools", tests=True)
            if path.suffix in (".h", ".cuh")
            and ("HWY_TARGET_TOGGLE" if path.name.endswith("-inl.h") else "#pragma once") not in (ROOT / path).read_text()]
    assert not bare, f"without #pragma once: {bare}"
