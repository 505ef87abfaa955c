#!/usr/bin/env python3
"""CPU time per log line: tattled, the hand-written floor, and the peers that are installed, taking turns.

    detect.py                          bin/tattled over all three corpora of a million lines; about two minutes
    detect.py -k auth -n 200000 -r 9   one of them, smaller, more often
    detect.py --memory 2               the most memory that it takes for a log of 2 GB, plain, packed and from a pipe

Ratios are medians of ratios within a round: the machine's mood is the same for both. Slow peers are in the first round
alone. At the end it says which budgets are met. Exits 1 unless tattled matched exactly the lines that it should: every line
of a class (see gen/shapes.go), log-ins and accepted packets too. With --most X it exits 1 also where tattled needs more than
X times the floor.
"""
import argparse
import itertools
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
from benchlib import BIN, DIR, HERE, corpus, timed

SLOW = {'floor regexp', 'lognormalizer', 'fail2ban-regex'}
FEW = 50_000  # lines for fail2ban-regex, which would take minutes
# What tattled has to reach: at most so much of the one, and at least so many times faster than the others.
FLOOR, THOUSAND, FASTER = 2.0, 2.0, {'pdbtool': 5, 'sshg-parser': 7, 'fail2ban-regex': 100}


def last_number(pattern):
    def find(text):
        found = re.findall(pattern, text, re.I)
        return int(re.sub(r'\D', '', found[-1])) if found else None
    return find


def nonempty(text):
    return sum(1 for line in text.splitlines() if line.strip())


def parsed(text):
    return sum('unparsed-data' not in line for line in text.splitlines())


def thousand_rules():
    """A folder with a user's rule file of a thousand rules of all sorts, for the programs of the corpora."""
    forms = [("match: ['application %d refused <user> from <ip>']", 'application %d refused root from 203.0.113.5'),
             ("match: ['<word> bad thing number %d by <ip>']", 'a bad thing number %d by 203.0.113.5'),
             ("regex: ['^.*: failure %d of (?P<ip>[0-9.]+)$']", 'x: failure %d of 203.0.113.5'),
             ("match: ['Failed <word> with code-%d for <user> from <ip>']", 'Failed it with code-%d for a from 203.0.113.5'),
             ("match: ['application %d refused <user> from <ip>']", 'application %d refused root from 203.0.113.5')]
    os.makedirs(f'{DIR}/rules', exist_ok=True)
    with open(f'{DIR}/rules/extra.yaml', 'w') as f:
        f.write('service: extra\nprograms: [sshd, sshd-session, kernel]\nrules:\n')
        for n in range(1000):
            match, line = forms[n % 5]
            f.write(f'  - name: rule-{n}\n    kind: probe\n    categories: [15]\n    {match % n}\n    samples: [{{line: "{line % n}", ip: 203.0.113.5}}]\n')
    return f'{DIR}/rules'


def contenders(kind, log, n, ours):
    """(name, lines, command, standard input, how to find the number of matched lines in what it printed)"""
    patterns = [x for p in {'auth': ['ssh'], 'kern': ['nf'], 'mixed': ['ssh', 'nf']}[kind] for x in ('-f', f'{HERE}/peers/{p}.ere')]
    matched = last_number(r'\bmatched\b\W*(\d[\d,_]*)')
    null = '/dev/null'
    yield 'floor', n, [f'{BIN}/floor', '-mode', 'claim', log], null, matched
    yield 'tattled', n, [x.replace('{}', log) for x in shlex.split(ours)], null, matched
    yield '+1000 rules', n, [*(x.replace('{}', log) for x in shlex.split(ours)), '--rules', thousand_rules()], null, matched
    yield 'floor regexp', n, [f'{BIN}/floor', '-mode', 'regexp', log], null, matched
    yield 'grep', n, ['grep', '-cE', *patterns, log], null, last_number(r'(\d+)')
    yield 'ripgrep', n, ['rg', '--no-config', '-j1', '--no-mmap', '-c', *patterns, log], null, last_number(r'(\d+)')
    yield 'sshg-parser', n, [shutil.which('sshg-parser', path='/usr/libexec/sshguard:/usr/lib/sshguard') or 'sshg-parser'], log, nonempty
    yield 'lognormalizer', n, ['lognormalizer', '-p', '-r', f'{HERE}/peers/lognorm.rulebase', '-e', 'json'], log, parsed
    yield 'pdbtool', n, ['pdbtool', 'match', '-p', f'{HERE}/peers/patterndb.xml', '-f', log, '-T', '${srcip}\\n'], null, nonempty
    if kind != 'kern':  # it has no filter for packets
        few = min(n, FEW)
        with open(log) as whole, open(log + '.head', 'w') as head:
            head.writelines(itertools.islice(whole, few))
        yield 'fail2ban-regex', few, ['fail2ban-regex', '--usedns=no', log + '.head', 'sshd'], null, last_number(r'(\d+) matched')


def measure(here, rounds):
    """By contender: CPU microseconds per line and peak MiB of each round; and how many lines it matched."""
    runs, matched = {}, {}
    for turn in range(rounds):
        for name, lines, command, stdin, found in here:
            if turn and name in SLOW:
                continue
            seconds, peak, status, out = timed(command, stdin, 'C.UTF-8' if name == 'fail2ban-regex' else 'C')
            if status and not (status == 1 and name in ('grep', 'ripgrep')):  # theirs says that no line matched
                sys.exit(f'{shlex.join(command)} exits {status}:\n{open(f"{DIR}/tm.err", errors="replace").read()[-500:]}')
            runs.setdefault(name, []).append((seconds / lines * 1e6, peak))
            if name not in matched:
                with open(out, errors='replace') as f:
                    matched[name] = found(f.read())
    return runs, matched


def compare(kind, a, budgets):
    """All rounds over one corpus. Adds to budgets what was reached of them; returns what is wrong with ours."""
    log, classes = corpus(kind, 'plain', a.n)
    expected = sum(classes.values())
    here = [c for c in contenders(kind, log, a.n, a.ours) if shutil.which(c[2][0])]
    if not any(c[0] == 'tattled' for c in here):
        sys.exit(f'{shlex.split(a.ours)[0]} is not there')
    subprocess.run(['cat', log], stdout=subprocess.DEVNULL, check=True)  # into the page cache
    runs, matched = measure(here, a.r)

    def ratio(one, other):
        return statistics.median(x[0] / y[0] for x, y in zip(runs[one], runs[other]))

    print(f'\n{kind}: {a.n:,} lines, {expected:,} with an address that matters; {a.r} rounds')
    print(f'  {"":15}{"us/line":>9} {"[min-max]":>15}{"lines/cpu-s":>13}{"x floor":>9}{"x ours":>8}{"MiB":>7}{"matched":>10}')
    for name in runs:
        us = [r[0] for r in runs[name]]
        span = f'[{min(us):.3f}-{max(us):.3f}]'
        print(f'  {name:15}{statistics.median(us):9.3f} {span:>15}{1e6 / statistics.median(us):13,.0f}{ratio(name, "floor"):9.2f}{ratio(name, "tattled"):8.2f}'
              f'{max(r[1] for r in runs[name]):7.1f}{matched[name] if matched[name] is not None else "":>10,}')
    wrong = []
    for name in ('tattled', '+1000 rules'):
        if matched[name] != expected:
            wrong.append(f'{kind}: {name} matched {matched[name]} lines, {expected} were to be found')
    of_floor, of_rules = ratio('tattled', 'floor'), ratio('+1000 rules', 'tattled')
    if a.most and of_floor > a.most:
        wrong.append(f'{kind}: tattled needs {of_floor:.2f} times the floor, {a.most} is the budget')
    budgets.append((of_floor <= FLOOR, f'{kind}: {of_floor:.2f} times the floor, {FLOOR} at most'))
    budgets.append((of_rules < THOUSAND, f'{kind}: {of_rules:.2f} times as much with a thousand more rules, less than {THOUSAND}'))
    for peer, least in FASTER.items():
        if peer in runs:
            times = ratio(peer, 'tattled')
            budgets.append((times >= least, f'{kind}: {times:.1f} times as fast as {peer}, {least} at least'))
    return wrong


def memory(gigabytes, ours):
    """Prints the peak memory for a log that is made for it, and taken away."""
    log, _ = corpus('auth', 'plain', 1_000_000)
    big, command = f'{DIR}/big.log', shlex.split(ours)
    try:
        with open(big, 'wb') as out:
            while out.tell() < gigabytes * 1e9:
                with open(log, 'rb') as f:
                    shutil.copyfileobj(f, out)
        forms = {'plain': big}
        for packer in ('gzip', 'zstd', 'xz'):
            if shutil.which(packer):
                forms[packer] = f'{DIR}/big.{packer}'
                with open(log, 'rb') as f, open(forms[packer], 'wb') as out:  # one corpus is enough, many times over
                    packed = subprocess.run([packer, '-1c'], stdin=f, stdout=subprocess.PIPE, check=True).stdout
                    for _ in range(int(gigabytes * 1e9 / os.path.getsize(log) / 4) + 1):
                        out.write(packed)
        print(f'\na log of {os.path.getsize(big) / 1e9:.1f} GB; packed, a quarter of it')
        for name, path in forms.items():
            seconds, peak, status, _ = timed([x.replace('{}', path) for x in command])
            print(f'  {name:15}{peak:7.1f} MiB at most, {seconds:.1f} s of CPU' + (f', exits {status}' if status else ''))
    finally:
        for name in ('big.log', 'big.gzip', 'big.zstd', 'big.xz'):
            if os.path.exists(f'{DIR}/{name}'):
                os.unlink(f'{DIR}/{name}')


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('-k', default='auth,kern,mixed', metavar='KINDS', help='corpora (default %(default)s)')
    p.add_argument('-n', type=int, default=1_000_000, metavar='LINES', help=f'lines of each; fail2ban-regex gets at most {FEW:,}')
    p.add_argument('-r', type=int, default=5, metavar='ROUNDS')
    p.add_argument('--memory', type=float, default=0, metavar='GB', help='measure the memory for so large a log instead')
    p.add_argument('--ours', default=f'{HERE}/../bin/tattled match --summary {{}}', metavar='COMMAND', help='{} is the file (default %(default)s)')
    p.add_argument('--most', type=float, default=0, metavar='X')
    a = p.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    if a.memory:
        memory(a.memory, a.ours)
        return
    budgets = []
    wrong = [w for kind in a.k.split(',') for w in compare(kind, a, budgets)]
    print('\nbudgets')
    for met, what in budgets:
        print(f'  {"met" if met else "MISSED":8}{what}')
    if wrong:
        sys.exit('\n'.join(wrong))


if __name__ == '__main__':
    main()
