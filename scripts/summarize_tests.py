"""Counts test cases over all programs of one or more build folders; the last line is 'N passed, N failed, N skipped'.

Every ctest test leaves results/NAME.xml with its cases (GoogleTest and pytest both write JUnit); ctest.xml says how each
program ended, so that a crash, a timeout or a sanitizer's report at exit counts as a failure of its own.
"""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def count_cases(report):
    """(passed, failed, skipped, names of the failed) of one JUnit file."""
    passed = failed = skipped = 0
    names = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
            names.append(f"{case.get('classname')}.{case.get('name')}")
        elif case.find("skipped") is not None or case.get("status") == "notrun" or case.get("result") == "skipped":
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped, names


def count_build(build):
    passed = failed = skipped = 0
    names = []
    for program in ElementTree.parse(build / "ctest.xml").getroot().iter("testcase"):
        name = program.get("name")
        ok = program.get("status") == "run"
        cases = (0, 0, 0, [])
        try:
            cases = count_cases(build / "results" / f"{name}.xml")
        except (OSError, ElementTree.ParseError):
            ok = False
        passed += cases[0]
        failed += cases[1]
        skipped += cases[2]
        names += [f"{name}: {case}" for case in cases[3]]
        if not ok and cases[1] == 0:
            failed += 1
            names.append(f"{name}: the program itself ({program.get('status')})")
    return passed, failed, skipped, names


def main():
    totals = [0, 0, 0]
    for build in map(Path, sys.argv[1:]):
        passed, failed, skipped, names = count_build(build)
        print(f"{build.name}: {passed} passed, {failed} failed, {skipped} skipped")
        for name in names:
            print(f"  FAILED {build.name} {name}")
        totals = [total + more for total, more in zip(totals, (passed, failed, skipped))]
    print("{} passed, {} failed, {} skipped".format(*totals))
    return 1 if totals[1] or not totals[0] else 0


if __name__ == "__main__":
    sys.exit(main())
