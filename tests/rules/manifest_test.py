"""A table row is the only registration: every row has its file, every file its row."""

import re
from collections import Counter

from sources import ROOT, code

OPS = ROOT / "src/ops"
REFERENCE = ROOT / "src/kernels/reference"
CPU = ROOT / "src/kernels/cpu"
CUDA = ROOT / "src/kernels/cuda"
ROW = re.compile(r"^(FOVEA_[A-Z_]+)\(([^()]*)\)", re.M)


def rows(table, macro):
    """The arguments of each MACRO(...) row."""
    if not table.exists():
        return []
    text = code(table.relative_to(ROOT))
    return [tuple(word.strip() for word in body.split(",")) for name, body in ROW.findall(text) if name == macro]


def sources(folder):
    return {path for path in folder.rglob("*.cc") if not path.stem.endswith(("_test", "_bench"))}


def differences(expected, found):
    lines = [f"{path.relative_to(ROOT)}: has a row, but does not exist" for path in sorted(expected - found)]
    lines += [f"{path.relative_to(ROOT)}: exists, but has no row" for path in sorted(found - expected)]
    return "\n".join(lines)


def operators():
    """Rows of ops.inc of all three kinds: (name, file, ...)."""
    return [row for macro in ("FOVEA_OP", "FOVEA_CONTROL", "FOVEA_IMPORT") for row in rows(OPS / "ops.inc", macro)]


def definitions(folder, pattern):
    """(name, file) of what the files of a folder define; helpers define nothing that matches."""
    return {(name, path) for path in sources(folder) for name in re.findall(pattern, code(path.relative_to(ROOT)), re.M)}


def assert_equal(expected, found):
    lines = [f"{name}: its row says {path.relative_to(ROOT)}, which does not define it" for name, path in expected - found]
    lines += [f"{name}: defined in {path.relative_to(ROOT)}, but has no row" for name, path in found - expected]
    assert not lines, "\n".join(sorted(lines))


def test_every_operator_has_file_and_row():
    expected = {(row[0], OPS / f"{row[1]}.cc") for row in operators()}
    assert_equal(expected, definitions(OPS, r"^(?:extern )?const OpDef op_(\w+)"))
    twice = [name for name, count in Counter(row[0] for row in operators()).items() if count > 1]
    assert not twice, f"ops.inc names twice: {twice}"


def test_every_operator_has_its_reference_kernel():
    expected = {(row[0], REFERENCE / row[2] / f"{row[1]}.cc") for row in rows(OPS / "ops.inc", "FOVEA_OP")}
    assert_equal(expected, definitions(REFERENCE, r"^Status reference_([A-Z]\w*)\(KernelContext"))


def test_every_cpu_kernel_has_file_and_row():
    expected = {CPU / row[1] / f"{row[2]}.cc" for row in rows(CPU / "kernels.inc", "FOVEA_KERNEL")}
    # x_avx2.cc and x_avx512.cc are x.cc for one instruction set, and have no row of their own.
    found = {path for path in sources(CPU) if path.parent != CPU and not path.stem.endswith(("_avx2", "_avx512"))}
    assert expected == found, differences(expected, found)


KERNEL = r"^const KernelRow kernel_(\w+)"
# A macro that defines a row for each of its uses: #define FOVEA_CHAIN(symbol, ...) const KernelRow kernel_chain_##symbol
KERNEL_MACRO = re.compile(r"^#define (FOVEA_\w+)\((\w+)[^)]*\)(?:\s|\\\n)+const KernelRow kernel_(\w*)##(\w+)", re.M)


def kernels(folder):
    """(symbol, file) of every row that the files of a folder define."""
    found = definitions(folder, KERNEL)
    for path in sources(folder):
        text = code(path.relative_to(ROOT))
        for macro, parameter, prefix, used in KERNEL_MACRO.findall(text):
            assert parameter == used, f"{path.relative_to(ROOT)}: {macro} does not name its row by its first argument"
            found |= {(prefix + name, path) for name in re.findall(rf"^{macro}\((\w+)", text, re.M)}
    return found


def test_every_cuda_kernel_has_file_and_row():
    table = rows(CUDA / "kernels.inc", "FOVEA_KERNEL")
    assert_equal({(row[0], CUDA / row[1] / f"{row[2]}.cc") for row in table}, kernels(CUDA))
    twice = [name for name, count in Counter(row[0] for row in table).items() if count > 1]
    assert not twice, f"kernels.inc names twice: {twice}"
