#!/bin/bash
# journal.sh [ENTRIES]: makes a journal of so many mixed entries (1000000) and times its readers: journalctl in several forms,
# and tattled-journal. Printed are medians of three rounds of CPU time per entry. The journal is kept for the next time.
set -euo pipefail
cd "$(dirname "$0")"
export LC_ALL=C
dir=${BENCH_DIR:-${TMPDIR:-/tmp}/tattled-bench} n=${1:-1000000}
journal=$dir/journal-$n times=$dir/journal.times
remote=/lib/systemd/systemd-journal-remote
./setup
[ -x $remote ] || { echo "journal.sh: apt-get install systemd-journal-remote" >&2; exit 1; }

if [ ! -d "$journal" ]; then
    rm -rf "$journal.part"
    mkdir "$journal.part"
    "$dir/bin/gen" -kind mixed -format export -n "$n" -o "$dir/journal.export"
    $remote --split-mode=none --compress=no -o "$journal.part/mixed.journal" "$dir/journal.export"
    rm "$dir/journal.export"
    mv "$journal.part" "$journal"
fi

measure() { # NAME CMD...
    local name=$1
    shift
    TM_RESULT=$dir/tm.result "$dir/bin/tm" "$@" >"$dir/tm.out" 2>"$dir/tm.err" </dev/null
    awk -v name="$name" '{print name "\t" $2 + $3 "\t" $4; exit $5}' "$dir/tm.result" >>"$times" ||
        { cat "$dir/tm.err" >&2; echo "journal.sh: $* failed" >&2; exit 1; }
}
: >"$times"
for _ in 1 2 3; do
    for form in cat short export json; do measure "journalctl -o $form" journalctl --no-pager -D "$journal" -o $form; done
    measure 'three fields' journalctl --no-pager -D "$journal" -o export --output-fields=MESSAGE,SYSLOG_IDENTIFIER,_PID
    measure tattled-journal ../bin/tattled-journal --directory "$journal" --no-follow
done
printf '%-24s%12s%16s%10s\n' '' us/entry entries/cpu-s MiB
cut -f1 "$times" | awk '!seen[$0]++' | while IFS= read -r name; do
    awk -F'\t' -v name="$name" '$1 == name' "$times" | sort -t$'\t' -k2n | sed -n 2p |
        awk -F'\t' -v n="$n" '{printf "%-24s%12.3f%16d%10.1f\n", $1, $2 / n * 1e6, n / $2, $3 / 1024}'
done
