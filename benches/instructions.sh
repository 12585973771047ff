#!/usr/bin/env bash
# Instructions for an operation, counted by valgrind: they repeat where times drift with the machine's mood.
#
#   benches/instructions.sh             counts, and compares with benches/instructions.csv; fails if one of looplab's grew by
#                                       more than 5 %
#   benches/instructions.sh --bless     counts, and writes them there: for a figure that is changed on purpose
#   benches/instructions.sh WORD …      only the works whose names contain one of the words; with --bless the other
#                                       figures stay as they are
#
# trace-jsonl and trace-page are callback-hop-1000 with a trace and with standard output in a file: what they count more is
# what the three events of a hop cost.
#
# tcp-echo and job-1 are shown and not judged. The one depends on how many requests a poll finds ready. The other depends
# on whether a job's thread or the loop sleeps first: 5,711 to 7,160 were counted without a change.
#
# Each work runs with N and with 2 N operations; the difference divided by N is shown. tokio's figures are for reference;
# that of job-1 varies by a third.
#
# The figures belong to one compiler, one C library and one tokio: what another rustc or another malloc makes of the same
# lines says nothing about the lines. So the csv names the rustc and the C library that it was made with. With others the
# comparison is shown, and nothing fails; the one who changes the toolchain runs --bless.
set -euo pipefail
cd "$(dirname "$0")/.."

figures=benches/instructions.csv
operations=4000

if ! command -v valgrind >/dev/null; then
    echo "instructions.sh needs valgrind, which counts instructions. It is in every distribution:" >&2
    echo "    apt-get install valgrind        or  dnf install valgrind,  pacman -S valgrind" >&2
    exit 2
fi

bless=no
words=()
for argument in "$@"; do
    case $argument in
        --bless) bless=yes ;;
        -*) echo "instructions.sh knows --bless and words of works, not $argument" >&2; exit 2 ;;
        *) words+=("$argument") ;;
    esac
done
toolchain="$(rustc --version), $(getconf GNU_LIBC_VERSION 2>/dev/null || echo 'another C library')"
made_with=$(sed -n 's/^# //p' "$figures" 2>/dev/null | head -n 1 || true)
if [[ $bless = yes && ${#words[@]} -gt 0 && $made_with != "$toolchain" ]]; then
    echo "instructions.sh: the figures were made with $made_with, this is $toolchain: bless all of them" >&2
    exit 2
fi
program=$(cargo bench --quiet -p looplab-instructions --no-run --message-format=json |
    sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
if [[ -z $program ]]; then
    echo "instructions.sh: the program benches/instructions was not built" >&2
    exit 2
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# How many instructions the program makes with these arguments.
count() {
    local trace=
    case $work in
        trace-jsonl) trace=$folder/trace.jsonl ;;
        trace-page) trace=$folder/trace.html ;;
    esac
    LOOPLAB_TRACE=$trace valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$@" \
        >"$folder/printed" 2>"$folder/counted"
    sed -n 's/.*Collected *: *\([0-9]*\).*/\1/p' "$folder/counted"
}

# The instructions of one operation.
measured() {
    local once twice
    once=$(count "$work" "$peer" "$operations")
    twice=$(count "$work" "$peer" $((2 * operations)))
    echo $(((twice - once) / operations))
}

grew() {
    [[ ${before:-0} -gt 0 && $peer = looplab && $work != tcp-* && $work != job-1 ]] && ((now * 100 > before * 105))
}

committed() {
    [[ -f $figures ]] && sed -n "s/^$1,$2,//p" "$figures" || true
}

wanted() {
    [[ ${#words[@]} -eq 0 ]] && return 0
    for word in "${words[@]}"; do [[ $1 = *"$word"* ]] && return 0; done
    return 1
}

lines=$folder/lines
: >"$lines"
grown=0
works=$("$program")
printf '%-20s %-8s %12s %10s %8s\n' work peer instructions committed change
while read -r work peer; do
    before=$(committed "$work" "$peer")
    if ! wanted "$work"; then
        [[ -z $before ]] || echo "$work,$peer,$before" >>"$lines"
        continue
    fi
    now=$(measured)
    # A thread of the pool has its own pace, and a job's figure moves by a tenth with it. So the least of three counts.
    for _ in 1 2; do
        grew || break
        again=$(measured)
        ((again >= now)) || now=$again
    done
    change='–'
    if [[ ${before:-0} -gt 0 ]]; then
        change=$(awk "BEGIN { printf \"%+.1f%%\", 100 * ($now - $before) / $before }")
        if grew; then
            change+=' GREW'
            grown=$((grown + 1))
        fi
    fi
    printf '%-20s %-8s %12s %10s %8s\n' "$work" "$peer" "$now" "${before:-–}" "$change"
    echo "$work,$peer,$now" >>"$lines"
done <<<"$works"

if [[ $bless = yes ]]; then
    { echo "# $toolchain"; echo "work,peer,instructions_per_operation"; cat "$lines"; } >"$figures"
    echo "written to $figures"
elif [[ -n $made_with && $made_with != "$toolchain" ]]; then
    echo "The committed figures were made with $made_with, this is $toolchain: nothing is judged."
elif ((grown > 0)); then
    echo "$grown figure(s) grew by more than they may. If that is on purpose: benches/instructions.sh --bless" >&2
    exit 1
fi
