# Sourced by ./run: puts Debian packages (packages/debian.txt) and a Python environment (packages/python.txt) in place.
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
