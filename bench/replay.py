#!/usr/bin/env python3
"""Measures `tattled replay` over a month of a server's log, made for it: wall and CPU time, lines a CPU-second, and the most anonymous
memory (RssAnon; pages of a file are the system's to take back), beside the budgets: 30 million lines in 60 s, 64 MiB.

    bench/replay.py               3 million lines
    bench/replay.py -n 30000000   the whole; 4.8 GB below BENCH_DIR
    bench/replay.py -- --quota 10 what follows -- is given to tattled replay
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import time

from benchlib import BIN, DIR, HERE

LINES, SECONDS, MEBIBYTES = 30_000_000, 60, 64


def month(lines, kind):
    """Path of a log that goes over 30 days."""
    path = f'{DIR}/month-{kind}-{lines}.log'
    if not os.path.exists(path + '.truth'):
        if not os.path.exists(f'{BIN}/gen'):
            sys.exit(f'there are no tools in {BIN}: run bench/setup')
        subprocess.run([f'{BIN}/gen', '-kind', kind, '-days', '30', '-public', '-n', str(lines), '-o', path, '-truth', path + '.truth'], check=True)
    return path


def anonymous(pid):
    """MiB of anonymous memory of a process, 0 if it is gone."""
    try:
        with open(f'/proc/{pid}/status') as f:
            return next((int(line.split()[1]) / 1024 for line in f if line.startswith('RssAnon:')), 0)
    except OSError:
        return 0


def run(command):
    """Wall and CPU seconds, peak MiB, and what it printed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with open(f'{DIR}/replay.json', 'wb') as out:
        child = subprocess.Popen(command, stdout=out, env=dict(os.environ, TZ='UTC'))
        peak = 0
        while child.poll() is None:
            peak = max(peak, anonymous(child.pid))
            time.sleep(0.02)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if child.returncode:
        sys.exit(f'{" ".join(command)} exits {child.returncode}')
    with open(f'{DIR}/replay.json') as f:
        return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak, json.load(f)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('-n', type=int, default=3_000_000, help='lines')
    p.add_argument('-k', default='mixed', choices=['mixed', 'auth', 'kern', 'flood'], help='the kind of log: see bench/gen')
    p.add_argument('--ours', default=f'{HERE}/../bin/tattled', help='the program')
    p.add_argument('more', nargs='*', help='more arguments of tattled replay')
    a = p.parse_args()
    log = month(a.n, a.k)
    wall, cpu, peak, found = run([a.ours, 'replay', '--json', '--config', os.path.join(HERE, 'replay.yaml'), *a.more, log])
    due = sum(d['judged'] for d in found['destinations'])
    print(f'{a.k}: {found["records"]:,} lines over 30 days, {found["events"]:,} events, {found["reported_addresses"]:,} addresses reported, {due:,} reports and alerts due')
    print(f'wall {wall:.1f} s, CPU {cpu:.1f} s, {found["records"] / cpu:,.0f} lines a CPU-second, {peak:.0f} MiB anonymous at most')
    whole = wall * LINES / found['records']
    budgets = [(whole <= SECONDS, f'{LINES:,} lines at this rate in {whole:.0f} s, {SECONDS} at most'), (peak <= MEBIBYTES, f'{peak:.0f} MiB, {MEBIBYTES} at most')]
    for good, text in budgets:
        print('budget', 'reached:' if good else 'MISSED:', text)
    if found['records'] != a.n:
        sys.exit(f'{a.n} lines were to be read')


main()
