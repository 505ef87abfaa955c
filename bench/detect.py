#!/usr/bin/env python3
"""CPU time per log line: tattled, the hand-written floor, and the peers that are installed, taking turns.

    detect.py                          bin/tattled over all three corpora of a million lines, three rounds
    detect.py -k auth -n 200000 -r 5   one of them, smaller, more often

Ratios are medians of ratios within a round: the machine's mood is the same for both. Exits 1 unless tattled matched
exactly the lines that it should: every line of a class (see gen/shapes.go), log-ins and accepted packets too. With
--most X it exits 1 also where tattled needs more than X times the floor.
"""
import argparse
import itertools
import re
import shlex
import shutil
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
from benchlib import BIN, DIR, HERE, corpus, timed

SLOW = 100_000  # lines for a peer that would take minutes


def last_number(pattern):
    def find(text):
        found = re.findall(pattern, text, re.I)
        return int(re.sub(r'\D', '', found[-1])) if found else None
    return find


def nonempty(text):
    return sum(1 for line in text.splitlines() if line.strip())


def parsed(text):
    return sum('unparsed-data' not in line for line in text.splitlines())


def contenders(kind, log, n, ours):
    """(name, lines, command, standard input, how to find the number of matched lines in what it printed)"""
    patterns = [x for p in {'auth': ['ssh'], 'kern': ['nf'], 'mixed': ['ssh', 'nf']}[kind] for x in ('-f', f'{HERE}/peers/{p}.ere')]
    matched = last_number(r'\bmatched\b\W*(\d[\d,_]*)')
    null = '/dev/null'
    yield 'floor', n, [f'{BIN}/floor', '-mode', 'claim', log], null, matched
    yield 'tattled', n, [x.replace('{}', log) for x in shlex.split(ours)], null, matched
    yield 'floor regexp', n, [f'{BIN}/floor', '-mode', 'regexp', log], null, matched
    yield 'grep', n, ['grep', '-cE', *patterns, log], null, last_number(r'(\d+)')
    yield 'ripgrep', n, ['rg', '--no-config', '-j1', '--no-mmap', '-c', *patterns, log], null, last_number(r'(\d+)')
    yield 'sshg-parser', n, [shutil.which('sshg-parser', path='/usr/libexec/sshguard:/usr/lib/sshguard') or 'sshg-parser'], log, nonempty
    yield 'lognormalizer', n, ['lognormalizer', '-p', '-r', f'{HERE}/peers/lognorm.rulebase', '-e', 'json'], log, parsed
    yield 'pdbtool', n, ['pdbtool', 'match', '-p', f'{HERE}/peers/patterndb.xml', '-f', log, '-T', '${srcip}\\n'], null, nonempty
    if kind != 'kern':  # it has no filter for packets
        few = min(n, SLOW)
        with open(log) as whole, open(log + '.head', 'w') as head:
            head.writelines(itertools.islice(whole, few))
        yield 'fail2ban-regex', few, ['fail2ban-regex', '--usedns=no', log + '.head', 'sshd'], null, last_number(r'(\d+) matched')


def compare(kind, a):
    """All rounds over one corpus. Returns what is wrong with ours."""
    log, classes = corpus(kind, 'plain', a.n)
    expected = sum(classes.values())
    runs, matched = {}, {}
    here = [c for c in contenders(kind, log, a.n, a.ours) if shutil.which(c[2][0])]
    if not any(c[0] == 'tattled' for c in here):
        sys.exit(f'{shlex.split(a.ours)[0]} is not there')
    subprocess.run(['cat', log], stdout=subprocess.DEVNULL, check=True)  # into the page cache
    for _ in range(a.r):
        for name, lines, command, stdin, found in here:
            seconds, peak, status, out = timed(command, stdin, 'C.UTF-8' if name == 'fail2ban-regex' else 'C')
            if status and not (status == 1 and name in ('grep', 'ripgrep')):  # theirs says that no line matched
                sys.exit(f'{shlex.join(command)} exits {status}:\n{open(f"{DIR}/tm.err", errors="replace").read()[-500:]}')
            runs.setdefault(name, []).append((seconds / lines * 1e6, peak))
            if name not in matched:
                with open(out, errors='replace') as f:
                    matched[name] = found(f.read())
    print(f'\n{kind}: {a.n:,} lines, {expected:,} with an address that matters; {a.r} rounds')
    print(f'  {"":15}{"us/line":>9} {"[min-max]":>15}{"lines/cpu-s":>13}{"x floor":>9}{"x ours":>8}{"MiB":>7}{"matched":>10}')
    ratio = {}
    for name in runs:
        us = [r[0] for r in runs[name]]
        ratio[name] = statistics.median(x / y[0] for x, y in zip(us, runs['floor']))
        ours = statistics.median(x / y[0] for x, y in zip(us, runs['tattled']))
        span = f'[{min(us):.3f}-{max(us):.3f}]'
        print(f'  {name:15}{statistics.median(us):9.3f} {span:>15}{1e6 / statistics.median(us):13,.0f}{ratio[name]:9.2f}{ours:8.2f}'
              f'{max(r[1] for r in runs[name]):7.1f}{matched[name] if matched[name] is not None else "":>10,}')
    wrong = []
    if matched['tattled'] != expected:
        wrong.append(f'{kind}: tattled matched {matched["tattled"]} lines, {expected} were to be found')
    if a.most and ratio['tattled'] > a.most:
        wrong.append(f'{kind}: tattled needs {ratio["tattled"]:.2f} times the floor, {a.most} is the budget')
    return wrong


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('-k', default='auth,kern,mixed', metavar='KINDS', help='corpora (default %(default)s)')
    p.add_argument('-n', type=int, default=1_000_000, metavar='LINES', help=f'lines of each; slow peers get at most {SLOW:,}')
    p.add_argument('-r', type=int, default=3, metavar='ROUNDS')
    p.add_argument('--ours', default=f'{HERE}/../bin/tattled match --summary {{}}', metavar='COMMAND', help='{} is the file (default %(default)s)')
    p.add_argument('--most', type=float, default=0, metavar='X')
    a = p.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    wrong = [w for kind in a.k.split(',') for w in compare(kind, a)]
    sys.exit('\n'.join(wrong))


if __name__ == '__main__':
    main()
