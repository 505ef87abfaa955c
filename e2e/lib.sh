# shellcheck shell=bash
# What setup and run share. Source it.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # for those who source this
top=$(dirname "$here")
export E2E=${E2E:-${TMPDIR:-/tmp}/tattled-e2e}
export SUITE=${SUITE:-bookworm}

box() { "$here/box" "$@"; }
d1() { box sh d1 "$@"; }
die() { echo "${0##*/}: $*" >&2; exit 1; }

# step WHAT: says what holds now, and how long it took since the step before.
last=$(date +%s%N)
step() {
    local now
    now=$(date +%s%N)
    awk -v ns=$((now - last)) -v what="$*" 'BEGIN {printf "%6.1f s  %s\n", ns / 1e9, what}'
    last=$(date +%s%N)
}

# soon SECONDS CMD...: until CMD succeeds; it is an error if it does not within SECONDS.
soon() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || die "still not so: $*"
        sleep 0.1
    done
}

# quiet CMD...: shows what CMD says only if it fails.
quiet() {
    local said
    said=$("$@" 2>&1) || { echo "$said" >&2; die "failed: $*"; }
}

# same WANT GOT WHAT
same() { [ "$1" = "$2" ] || die "$3: want $1, got ${2:-nothing}"; }
