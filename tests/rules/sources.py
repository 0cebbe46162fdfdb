"""What the rule tests share: the source files of the project, and C++ text without comments and strings."""

import os
import re
from pathlib import Path

ROOT = Path(os.environ.get("FOVEA_SOURCE_DIR", Path(__file__).resolve().parents[2]))

_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"(?P<mark>[^()\s\\]{0,16})\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'""", re.S
)


def cpp_files(*folders, tests=False):
    """All .h and .cc files below the folders, as paths relative to the project."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".h", ".cc", ".cu", ".cuh") and (tests or not path.stem.endswith(("_test", "_bench"))):
                yield path.relative_to(ROOT)


def code(path):
    """The file with comments and strings blanked; line numbers stay."""

    def blank(match):
        text = match.group(0)
        # 1'000'000 is a number, and no string begins there.
        if text.startswith("'") and match.start() and match.string[match.start() - 1].isalnum():
            return text
        return re.sub(r"[^\n]", " ", text)

    return _TOKEN.sub(blank, (ROOT / path).read_text())
