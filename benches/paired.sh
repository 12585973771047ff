#!/usr/bin/env bash
# The time of an operation on two revisions, measured in turn on one machine: what slows the machine slows both.
#
#   benches/paired.sh                   compares the working tree with the commit named in benches/paired.base
#   benches/paired.sh BASE              with another commit
#   benches/paired.sh BASE WORD …       only the works whose names contain one of the words; BASE may be `-` for the file's
#   benches/paired.sh --planted         compares the working tree with itself and a planted slow-down; must find it
#
# A round is base, now, now, base. A row shows the median of the rounds' ratios and its quartiles: below 1 is faster. From
# 1.05 on a row is marked. From 1.15 on it is measured twice more, and the script fails if it is as slow each time.
#
# Only works of one thread are compared. What two threads do together depends on the scheduler.
set -euo pipefail
cd "$(dirname "$0")/.."

works=(callback-hop-1000 callback-hop-1 task-hop-1000 task-hop-1 spawn-await future-hop restart timer-insert timer-cancel timer-fire sleeper-wake)
rounds=15
least=20000000 # nanoseconds of a measurement: a shorter one is mostly noise
# What is built of other packages is the same on both sides, and for benches/instructions.sh.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
folder=$CARGO_TARGET_DIR/paired

planted=
if [ "${1:-}" = --planted ]; then
    planted=benches/planted.patch
    base=HEAD
    shift
    works=(callback-hop-1000)
else
    base=${1:--}
    shift || true
    [ "$base" != - ] || base=$(grep -v '^#' benches/paired.base)
    if ! git cat-file -e "$base^{commit}" 2>/dev/null && ! git fetch -q --depth 1 origin "$base" 2>/dev/null; then
        echo "paired.sh: the commit $base is not here (a shallow clone?): nothing is compared"
        exit 0
    fi
fi
chosen=()
for work in "${works[@]}"; do
    [ $# -gt 0 ] || chosen+=("$work")
    for word in "$@"; do [[ $work = *"$word"* ]] && chosen+=("$work") && break; done
done
[ ${#chosen[@]} -gt 0 ] || { echo "paired.sh: no work's name contains any of: $*; the works are ${works[*]}" >&2; exit 2; }

# The library of a revision, below the bench of today.
lay_out() {
    local side=$folder/$1
    rm -rf "$side/tree" "$side/bench"
    mkdir -p "$side/tree" "$side/bench/peers"
    if [ "$2" = working-tree ]; then
        git ls-files -z --cached --others --exclude-standard -- src docs Cargo.toml README.md |
            xargs -0 cp -p --parents -t "$side/tree"
    else
        # With the times of the commit cargo would take another base's build for this one's.
        git archive "$2" | tar -xm -C "$side/tree"
    fi
    # Without this cargo would take the package for one of the workspace around it.
    grep -q '^\[workspace\]' "$side/tree/Cargo.toml" || printf '\n[workspace]\n' >>"$side/tree/Cargo.toml"
    cp -pr benches/instructions "$side/bench"
    cp -pr benches/peers/. "$side/bench/peers"
    sed -i 's#path = "../.."#path = "../../tree"#' "$side/bench/instructions/Cargo.toml"
    {
        printf '[workspace]\nresolver = "3"\nmembers = ["instructions"]\n'
        sed -n '/^\[workspace\.[a-z.]*\]/,/^$/p' Cargo.toml
    } >"$side/bench/Cargo.toml"
    cp Cargo.lock "$side/bench"
}

build() {
    # Errors are shown as the compiler writes them; what is built is named in JSON.
    (cd "$folder/$1/bench" && cargo bench -q --no-run --message-format=json-render-diagnostics) |
        sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}

# The working tree keeps its name and its times, so that it is built once for both of CI's comparisons.
lay_out now working-tree
if [ -n "$planted" ]; then
    lay_out planted working-tree
    patch -s -F0 -d "$folder/planted/tree" -p1 <"$planted"
    before=$(build now)
    now=$(build planted)
else
    lay_out base "$base"
    before=$(build base)
    now=$(build now)
fi
[ "$before" != "$now" ] && [ -x "$before" ] && [ -x "$now" ] || { echo "paired.sh: the bench does not build on both revisions" >&2; exit 2; }

# Prints the lower quartile, the median and the upper quartile of the rounds' ratios.
compare() {
    local work=$1 n=1000 round a b c d
    while [ "$("$before" "$work" looplab $n)" -lt $least ]; do n=$((2 * n)); done
    for ((round = 0; round < rounds; round++)); do
        a=$("$before" "$work" looplab $n)
        b=$("$now" "$work" looplab $n)
        c=$("$now" "$work" looplab $n)
        d=$("$before" "$work" looplab $n)
        awk "BEGIN { print ($b + $c) / ($a + $d) }"
    done | sort -n | awk '{ r[NR] = $1 } END { printf "%.3f %.3f %.3f\n", r[int((NR + 3) / 4)], r[int((NR + 1) / 2)], r[int((3 * NR + 3) / 4)] }'
}
from() { awk "BEGIN { exit !($1 >= $2) }"; }

slow=()
printf '%-20s %8s  %s\n' work ratio quartiles
for work in "${chosen[@]}"; do
    read -r lower median upper < <(compare "$work")
    mark=
    for attempt in 1 2 3; do
        from "$median" 1.15 || break
        [ $attempt != 3 ] || { mark='  SLOWER'; slow+=("$work"); break; }
        read -r lower median upper < <(compare "$work")
    done
    if [ -z "$mark" ] && from "$median" 1.05; then mark='  slower'; fi
    printf '%-20s %8s  %s–%s%s\n' "$work" "$median" "$lower" "$upper" "$mark"
done

if [ -n "$planted" ]; then
    [ ${#slow[@]} -gt 0 ] || { echo "the planted slow-down was not found" >&2; exit 1; }
    echo "the planted slow-down was found"
elif [ ${#slow[@]} -gt 0 ]; then
    echo "slower than $base by 15 % or more, three times: ${slow[*]}. If that is on purpose, name a newer commit in benches/paired.base" >&2
    exit 1
fi
