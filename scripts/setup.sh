# Sourced by ./run: puts Debian packages (packages/debian.txt), a Python environment and the headers that the CUDA backend
# is compiled with (packages/python.txt) in place.
# Quick when all is there: one dpkg-query, and one stamp file for each group of Python packages.

export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
# The system's interpreter, not one that happens to come first on PATH: its version is what the wheels are pinned for.
python=/usr/bin/python3
venv=build/venv

# group FILE NAME -> the lines of [NAME], without comments
group() {
  awk -v want="[$2]" '/^\[/ {inside = ($1 == want); next} inside && NF && $1 !~ /^#/' "$1"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif ! command -v sudo >/dev/null; then
    echo "run: neither root nor sudo: install by hand: ${*: -1}" >&2
    return 1
  elif [ -t 0 ]; then sudo --preserve-env=DEBIAN_FRONTEND "$@"
  else sudo -n --preserve-env=DEBIAN_FRONTEND "$@"
  fi
}

# Prints "package minimum" for what is absent or too old.
missing_debian() {
  local package minimum have
  declare -A installed=()
  while read -r package have; do
    installed[$package]=$have
  done < <(group packages/debian.txt "$1" | awk '{print $1}' |
    xargs dpkg-query -W -f='${db:Status-Abbrev}${Package} ${Version}\n' 2>/dev/null | sed -n 's/^ii *//p')
  while read -r package minimum; do
    have=${installed[$package]:-}
    if [ -z "$have" ] || dpkg --compare-versions "$have" lt "$minimum"; then echo "$package $minimum"; fi
  done < <(group packages/debian.txt "$1")
}

setup_debian() {
  local release here missing
  release=$(sed -n 's/^release = //p' packages/debian.txt)
  here=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-${ID:-unknown}}")
  if [ "$here" != "$release" ]; then
    echo "run: made for Debian '$release', this is '$here': going on with the packages that are here" >&2
  fi
  if ! command -v dpkg-query >/dev/null; then
    echo "run: no dpkg here: see packages/debian.txt for what must be installed" >&2
    return 0
  fi
  missing=$(missing_debian "$1")
  [ -n "$missing" ] || return 0
  echo "run: installing $(echo "$missing" | awk '{printf "%s ", $1}')" >&2
  as_root apt-get -q update >&2
  # shellcheck disable=SC2046  # one word a package
  as_root apt-get -q install -y --no-install-recommends $(echo "$missing" | awk '{print $1}') >&2
  missing=$(missing_debian "$1")
  if [ -n "$missing" ]; then
    echo "run: older than needed on this release (package, minimum version):" >&2
    echo "$missing" >&2
    return 1
  fi
}

setup_python() {
  local name stamp key
  for name in "$@"; do
    stamp=$venv/.$name.installed
    key=$({ "$python" --version; group packages/python.txt "$name"; } | sha256sum)
    [ "$(cat "$stamp" 2>/dev/null)" != "$key" ] || continue
    echo "run: Python packages [$name] into $venv" >&2
    [ -x $venv/bin/python ] || "$python" -m venv $venv
    # --no-deps: the list is complete, and nothing that is not pinned comes in.
    group packages/python.txt "$name" | $venv/bin/python -m pip install -q --no-deps -r /dev/stdin >&2
    $venv/bin/python -m pip check >&2
    echo "$key" >"$stamp"
  done
}

# The CUDA compiler, where cmake/cuda.cmake looks for it; fails where there is none that is new enough.
find_nvcc() {
  local nvcc release
  nvcc=$(PATH=/usr/local/cuda/bin:${CUDA_PATH:+$CUDA_PATH/bin:}$PATH command -v nvcc) || return 1
  release=$("$nvcc" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
  [ "${release:-0}" -ge 13 ] || return 1
  echo "$nvcc"
}

# wheel_headers PACKAGE FOLDER: include/ of the package's pinned wheel becomes FOLDER/include, its licence FOLDER/LICENSE.
wheel_headers() {
  local package=$1 folder=$2 pin
  pin=$(group packages/python.txt cuda | grep "^$package==")
  [ "$(cat "$folder/version" 2>/dev/null)" != "$pin" ] || [ ! -e "$folder/LICENSE" ] || return 0
  echo "run: headers of $pin into $folder" >&2
  mkdir -p build/cuda/wheels
  $venv/bin/python -m pip download -q --no-deps --only-binary :all: -d build/cuda/wheels "$pin" >&2
  $venv/bin/python - build/cuda/wheels/"${package//-/_}"-*.whl "$folder" <<'PYTHON'
import pathlib, sys, zipfile

wheel, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as files:
    for name in files.namelist():
        before, found, rest = name.partition("include/")
        if found and rest and not rest.endswith("/") and (not before or before.endswith("/")):
            path = pathlib.Path(folder, "include", rest)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files.read(name))
    licences = [name for name in files.namelist() if ".dist-info/licenses/LICEN" in name]
    pathlib.Path(folder, "LICENSE").write_bytes(b"\n".join(files.read(name) for name in licences))
PYTHON
  rm -f build/cuda/wheels/"${package//-/_}"-*.whl
  echo "$pin" >"$folder/version"
}

# Needs setup_python base.
setup_cuda_headers() {
  local cuda
  cuda=$(dirname "$(dirname "$(readlink -f "$(find_nvcc)")")")
  wheel_headers nvidia-cudnn-frontend build/cuda/cudnn-frontend
  wheel_headers nvidia-cutlass build/cuda/cutlass
  if ! ls "$cuda"/include/cudnn_graph.h "$cuda"/targets/*/include/cudnn_graph.h >/dev/null 2>&1; then
    wheel_headers nvidia-cudnn-cu13 build/cuda/cudnn
  fi
}
