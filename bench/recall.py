#!/usr/bin/env python3
"""How much of other people's test logs tattled finds: the lines that Debian's fail2ban package ships for its own tests.

    recall.py              a table by log, and the sums
    recall.py -v           also every line that was missed, and every one that is no attack for fail2ban and is one for tattled
    recall.py -v sshd      of these logs only

Each line there has a note that says whether an attack is to be found in it, and whose. A line counts as found if the same
address comes out of `tattled match`, by whatever rule. Lines whose peer is a host name (never resolved here) or is
written as no strict parser takes it (192.030.0.6) have no address to be found and stand apart. Exits 1 if any line
yields an address that is not the one in its note.
"""
import argparse
import collections
import glob
import ipaddress
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TATTLED = f'{HERE}/../bin/tattled'
LOGS = '/usr/lib/python3/dist-packages/fail2ban/tests/files/logs'

# Logs without a syslog header, and the program that a followed file of that sort would be given (sources.files.program).
PROGRAMS = {
    'apache': 'apache', 'php-url-fopen': 'apache', 'nginx': 'nginx', 'lighttpd': 'lighttpd', 'exim': 'exim', 'mysqld': 'mysqld',
    'mongodb': 'mongod', 'asterisk': 'asterisk', 'freeswitch': 'freeswitch', 'named': 'named', 'squid': 'squid', 'vsftpd': 'vsftpd',
    'proftpd': 'proftpd', 'roundcube': 'roundcube', 'gitlab': 'gitlab', 'grafana': 'grafana', 'traefik': 'traefik', 'recidive': 'fail2ban.actions',
    'bitwarden': 'bitwarden', 'haproxy': 'haproxy', 'webmin': 'webmin', 'phpmyadmin': 'phpmyadmin', 'postfix': 'postfix/smtpd',
    'dovecot': 'dovecot', 'selinux': 'audit', 'sendmail': 'sendmail', 'pure-ftpd': 'pure-ftpd', 'zzz-sshd': 'sshd', 'sshd': 'sshd',
    'murmur': 'murmur', 'ejabberd': 'ejabberd', 'mssql': 'mssql', 'znc': 'znc',
}

# Whose rules tattled does not have, and does not claim to.
FOREIGN = set('''3proxy assp bsd centreon counter-strike directadmin domino-smtp froxlor-auth groupoffice gssftpd guacamole horde kerio monit
monitorix nagios nsd openhab openwebmail oracleims perdition portsentry qmail scanlogd screensharingd slapd softethervpn sogo-auth
solid-pop3d squirrelmail stunnel suhosin tine20 uwimap-auth wuftpd xinetd-fail zoneminder zzz-generic-example'''.split())

# Notes that are wrong, and why. Such a line is counted as the program that wrote it means it.
DISPUTED = {
    ('sshd', 144): 'sshd writes nothing behind the "ssh2" of a password: all up to the last " from" is the name that the peer chose',
    ('sshd-journal', 145): 'the same',
}

Line = collections.namedtuple('Line', 'log number text attack host')


def notes(log):
    """Every line of a log that has a note."""
    note = None
    with open(f'{LOGS}/{log}', errors='surrogateescape') as f:
        for number, text in enumerate(f, 1):
            text = text.rstrip('\n')
            if log == 'sshd-journal' and not text.startswith('#'):
                text = 'Jan  1 00:00:00 ' + text  # as the journal's short form has it
            found = re.match(r'#+ ?failJSON:\s*(\{.*\})\s*$', text)
            if found:
                note = json.loads(found[1])
            elif note is not None and text and not text.startswith('#'):
                yield Line(log, number, text, note.get('match', True), note.get('host', ''))
                note = None


def program_of(log):
    names = [p for p in PROGRAMS if log.startswith(p)]
    return PROGRAMS[max(names, key=len)] if names else None


def match(lines, *options):
    """{index: finding} of tattled."""
    with tempfile.NamedTemporaryFile('w', errors='surrogateescape') as f:
        f.writelines(line.text + '\n' for line in lines)
        f.flush()
        out = subprocess.run([TATTLED, 'match', '--json', *options, f.name], stdout=subprocess.PIPE, check=True).stdout
    return {o['line_no'] - 1: o for o in map(json.loads, out.splitlines())}


def address(text):
    try:
        a = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(a, 'ipv4_mapped', None) or a


def judge(log):
    """What became of each line: found, missed, wrong (somebody else's address) or disputed, nameless, extra (found, and no
    attack there), quiet."""
    lines = list(notes(log))
    findings = [match(lines)]
    if program_of(log):
        findings.append(match(lines, '--program', program_of(log)))
    for i, line in enumerate(lines):
        mine = [f[i] for f in findings if i in f]
        peer = address(line.host)
        if not line.attack:
            yield line, 'extra' if any(f['kind'] != 'auth-success' for f in mine) else 'quiet', mine
        elif peer is None:
            yield line, 'wrong' if mine else 'nameless', mine
        elif any(address(f['ip']) != peer for f in mine):
            yield line, 'disputed' if (log, line.number) in DISPUTED else 'wrong', mine
        else:
            yield line, 'found' if mine else 'missed', mine


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('-v', action='store_true', help='show lines')
    p.add_argument('logs', nargs='*', help='default: all')
    a = p.parse_args()
    if not os.path.isdir(LOGS):
        sys.exit(f'recall: {LOGS} is not there: install fail2ban of Debian (bench/setup peers)')
    every = sorted(os.path.basename(f) for f in glob.glob(f'{LOGS}/*') if os.path.isfile(f))
    sums = {True: collections.Counter(), False: collections.Counter()}
    print(f'{"":28}{"attacks":>8}{"found":>7}{"missed":>7}{"wrong":>7}{"nameless":>9}{"extra":>7}')
    row = '{:28}{:8}{found:7}{missed:7}{wrong:7}{nameless:9}{extra:7}'
    for log in a.logs or every:
        n = collections.Counter(found=0, missed=0, wrong=0, nameless=0, extra=0)
        shown = []
        for line, became, findings in judge(log):
            n[became] += 1
            if became in ('wrong', 'disputed') or a.v and became in ('missed', 'extra'):
                shown.append(f'    {became} {line.number}: {line.text}' + ''.join(f'\n        {f["service"]}/{f["rule"]} {f["ip"]}' for f in findings))
        ours = log not in FOREIGN
        sums[ours].update(n)
        if ours or n['found']:
            print(row.format(log, n['found'] + n['missed'] + n['wrong'], **n))
        if shown and (ours or n['wrong']):
            print('\n'.join(shown))
    for ours, title in (True, 'services with rules'), (False, 'other services'):
        n = sums[ours]
        n.update(found=0, missed=0, wrong=0, nameless=0, extra=0)
        attacks = n['found'] + n['missed'] + n['wrong']
        if attacks:
            print(row.format(title, attacks, **n) + f'   {n["found"] / attacks:.1%} found')
    if sums[True]['wrong'] + sums[False]['wrong']:
        sys.exit('recall: somebody else was blamed')


if __name__ == '__main__':
    main()
