"""Dependency direction: a module includes only itself and what its DEPS in CMakeLists.txt reach."""

import re

from sources import ROOT, cpp_files

INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.M)
# docs/architecture.md, from below.
SPINE = "base ir ops backends kernels tactics plan engine runtime picture".split()
NOT_IN_RUNTIME = {"onnx", "passes", "patterns", "precision", "builder"}


def modules():
    """Each module of CMakeLists.txt with everything that its DEPS reach."""
    reach = {}
    for name, body in re.findall(r"^fovea_module\((\w+)([^)]*)\)", (ROOT / "CMakeLists.txt").read_text(), re.M):
        deps = re.search(r"\bDEPS((?: +[a-z]+)+)", body)
        reach[name] = set()
        for dep in deps.group(1).split() if deps else []:
            assert dep in reach, f"CMakeLists.txt: {name} depends on {dep}, which stands above it"
            reach[name] |= {dep} | reach[dep]
    # The public edge: src/api/{runtime,compiler} become the two shared libraries.
    reach["api"] = {"base"}  # bridge.h, which both share
    reach["api/runtime"] = {"api", "picture"} | reach["picture"]
    reach["api/compiler"] = {"api", "builder"} | reach["builder"]
    return reach


def reach_of_tests():
    """What a module's tests may stand on besides: its TEST_LIBS, which the module itself does not link."""
    reach = modules()
    text = (ROOT / "CMakeLists.txt").read_text()
    return {
        name: {lib for lib in re.findall(r"\bfovea_(\w+)", body.partition("TEST_LIBS")[2]) if lib in reach}
        for name, body in re.findall(r"^fovea_module\((\w+)([^)]*)\)", text, re.M)
    }


def module_of(path, names):
    return next((name for name in sorted(names, key=len, reverse=True) if path.startswith(name + "/")), None)


def includes(path):
    text = (ROOT / path).read_text()
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group(1)


def test_cmake_has_the_order_of_the_architecture():
    reach = modules()
    for below, above in zip(SPINE, SPINE[1:]):
        assert below in reach[above], f"{above} must stand above {below}"
    assert not reach["picture"] & NOT_IN_RUNTIME, "the runtime reaches what belongs to the compiler"


def test_every_folder_is_a_module():
    names = modules()
    strays = [str(path) for path in cpp_files("src", tests=True) if not module_of(str(path)[len("src/"):], names)]
    assert not strays, f"not in a module of CMakeLists.txt: {strays}"


def test_includes_point_downwards():
    reach, besides = modules(), reach_of_tests()
    offences = []
    for path in cpp_files("src", tests=True):
        own = module_of(str(path)[len("src/"):], reach)
        allowed = reach[own] | (besides.get(own, set()) if str(path).endswith("_test.cc") else set())
        for line, included in includes(path):
            other = module_of(included, reach)
            if other and other != own and other not in allowed:
                offences.append(f'{path}:{line}: {own} includes "{included}", but may reach only {sorted(allowed)}')
    assert not offences, "\n".join(offences)


def test_public_headers_include_only_public_headers():
    """And the standard library, whose headers have no folder."""
    offences = [
        f'{path}:{line}: "{included}"'
        for path in cpp_files("include")
        for line, included in includes(path)
        if "/" in included and not included.startswith("fovea/")
    ]
    assert not offences, "\n".join(offences)
