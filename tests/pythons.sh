#!/usr/bin/env bash
# Fetches current CPythons from Debian's suite sid and unpacks them into one folder, beside the system's own.
#
#   tests/pythons.sh                  fetches 3.15, 3.14 and 3.13, and prints the path of each program, one a line
#   tests/pythons.sh 3.15             fetches that one and prints its path:
#   LOOPLAB_PYTHON=$(tests/pythons.sh 3.15) cargo test --test conformance -- --ignored live
#
# The folder is target/pythons, or $LOOPLAB_PYTHONS. A program that answers there is not fetched again; delete the folder to
# update. Needs apt-get and dpkg (Debian, Ubuntu), x86-64 or arm64, and no root: apt gets a state of its own, the system's stays
# as it is. Each program starts with the C library that was fetched with it, and `sys.executable` works in children.
# Prints nothing on standard output and exits with 1 where a version cannot be had: the recorded answers have to do then.
set -euo pipefail

versions=("$@")
[ $# -gt 0 ] || versions=(3.15 3.14 3.13)
here=$(cd "$(dirname "$0")/.." && pwd)
folder=${LOOPLAB_PYTHONS:-${CARGO_TARGET_DIR:-$here/target}/pythons}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
program() { printf '%s/%s/usr/bin/python%s' "$folder" "$1" "$1"; }
answers() { [ -x "$1" ] && "$1" -c 'import asyncio, ssl, json' 2>/dev/null; }
fail() { echo "tests/pythons.sh: $*" >&2; exit 1; }

# Two runs at a time would unpack into each other's folders.
exec 9>"$folder/lock"
if command -v flock >/dev/null; then flock 9; fi

missing=()
for version in "${versions[@]}"; do
  [[ $version =~ ^3\.[0-9]+$ ]] || fail "$version: a version is written as 3.15"
  answers "$(program "$version")" || missing+=("$version")
done

if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || fail "apt-get and dpkg are needed"
  architecture=$(dpkg --print-architecture)
  case $architecture in
    amd64) loader=ld-linux-x86-64.so.2 triple=x86_64-linux-gnu ;;
    arm64) loader=ld-linux-aarch64.so.1 triple=aarch64-linux-gnu ;;
    *) fail "$architecture: only amd64 and arm64 are known here" ;;
  esac
  # The mirror of Debian that this machine is set up for.
  mirror=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -m1 -E '/debian/?$' || true)
  [ -n "$mirror" ] || fail "apt knows no mirror of Debian here"
  keys=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -f "$keys" ] || fail "$keys is missing (package debian-archive-keyring)"
  work=$(mktemp -d "$folder/work.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work"/{lists/partial,archives/partial,debs}
  touch "$work/status"
  echo "deb [signed-by=$keys] $mirror sid main" > "$work/sources.list"
  apt=(apt-get -q -o "Dir::State=$work" -o "Dir::State::status=$work/status" -o "Dir::Cache=$work"
    -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Acquire::Languages=none
    -o "APT::Architecture=$architecture" -o APT::Sandbox::User=root)
  "${apt[@]}" update >&2 || fail "Debian's list of packages cannot be fetched"

  packages=(libc6 libexpat1 zlib1g libssl3t64 libffi8 libbz2-1.0 liblzma5)
  for version in "${missing[@]}"; do
    packages+=("python$version-minimal" "libpython$version-minimal" "libpython$version-stdlib")
  done
  (cd "$work/debs" && "${apt[@]}" download "${packages[@]}") >&2 || fail "not all of these packages can be had: ${packages[*]}"

  for version in "${missing[@]}"; do
    new=$work/$version
    mkdir -p "$new"
    for package in "$work"/debs/*.deb; do
      case $(basename "$package") in
        python3.*_* | libpython3.*_*) [[ $(basename "$package") == *python"$version"-* ]] || continue ;;
      esac
      dpkg -x "$package" "$new"
    done
    # Suites differ in whether /lib is a link to /usr/lib: a plain folder is moved where the link would lead.
    if [ -d "$new/lib" ] && [ ! -L "$new/lib" ]; then cp -a "$new/lib/." "$new/usr/lib/" && rm -r "$new/lib"; fi
    libraries=usr/lib/$triple
    # A script in the program's place starts it with its own C library, under the script's name: that is `sys.executable`.
    # (patchelf would do the same to the program itself, but its newest release breaks this one.)
    mv "$new/usr/bin/python$version" "$new/usr/lib/python$version/program"
    place=$folder/$version
    printf '#!/bin/sh\nexec "%s" --argv0 "%s" --library-path "%s" "%s" "$@"\n' "$place/$libraries/$loader" \
      "$(program "$version")" "$place/$libraries" "$place/usr/lib/python$version/program" > "$new/usr/bin/python$version"
    chmod +x "$new/usr/bin/python$version"
    rm -rf "$place"
    mv "$new" "$place"
    answers "$(program "$version")" || fail "python$version was fetched and does not answer"
  done
fi

for version in "${versions[@]}"; do
  program "$version"
  echo
done
