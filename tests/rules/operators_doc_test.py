"""The table of docs/operators.md has exactly the rows of src/ops/ops.inc."""

import re

from sources import ROOT, code

ROW = re.compile(r"^FOVEA_(OP|CONTROL|IMPORT)\((\w+), (\w+)(?:, (\w+))?\)", re.M)


def expected():
    """The line of the table that each row of ops.inc asks for."""
    for kind, name, file, family in ROW.findall(code("src/ops/ops.inc")):
        kernel = {"OP": f"`{family}/{file}.cc`", "CONTROL": "none: control flow", "IMPORT": "none: becomes others"}[kind]
        yield f"| {name} | `{file}.cc` | {kernel} |"


def test_operators_are_documented():
    lines = (ROOT / "docs/operators.md").read_text().splitlines()
    begin = lines.index("| operator | declared in `src/ops/` | reference kernel in `src/kernels/reference/` |")
    found = [line for line in lines[begin + 2 :] if line.startswith("|")]
    wanted = list(expected())
    missing, strange = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    assert not missing, "missing in docs/operators.md:\n" + "\n".join(missing)
    assert not strange, "not in src/ops/ops.inc:\n" + "\n".join(strange)
    assert found == wanted, "docs/operators.md and src/ops/ops.inc have their rows in another order"
