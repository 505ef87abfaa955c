#!/usr/bin/env python3
"""How much of other people's sample lines tattled finds: the test logs of Debian's fail2ban package, the samples of the rules
in its prelude-lml-rules, and the tests in the source packages of sshguard, crowdsec (its hub) and psad.

    recall.py              tables by log, and the sums
    recall.py -v           also every line that was missed, and every one that is no attack for its authors and is one for tattled
    recall.py -v sshd      of these logs only
    recall.py -c prelude   of this corpus only: fail2ban, prelude, sshguard, crowdsec, psad

Each line has a note that says whether an attack (or a log-in) is to be found in it, and whose: see notes.py. A line counts
as found if the same address comes out of `tattled match`, by whatever rule. Lines whose peer is a host name (never resolved
here) or is written as no strict parser takes it (192.030.0.6, an IPv6 address with a zone) have no address to be found and
stand apart, and so do sketches, which no program ever wrote ("Failed XYZ for XYZ"). Services without rules here are summed
by themselves. A corpus that is not there is left out. Exits 1 if any line yields an address that is not the one in its note.
"""
import argparse
import collections
import ipaddress
import json
import os
import subprocess
import sys
import tempfile

import notes

HERE = os.path.dirname(os.path.abspath(__file__))
TATTLED = os.environ.get('TATTLED', f'{HERE}/../bin/tattled')

# Logs of fail2ban without a syslog header, and the program that a followed file of that sort would be given (sources.files.program).
PROGRAMS = {
    'apache': 'apache', 'php-url-fopen': 'apache', 'nginx': 'nginx', 'lighttpd': 'lighttpd', 'exim': 'exim', 'mysqld': 'mysqld',
    'mongodb': 'mongod', 'asterisk': 'asterisk', 'freeswitch': 'freeswitch', 'named': 'named', 'squid': 'squid', 'vsftpd': 'vsftpd',
    'proftpd': 'proftpd', 'roundcube': 'roundcube', 'gitlab': 'gitlab', 'grafana': 'grafana', 'traefik': 'traefik', 'recidive': 'fail2ban.actions',
    'bitwarden': 'bitwarden', 'haproxy': 'haproxy', 'webmin': 'webmin', 'phpmyadmin': 'phpmyadmin', 'postfix': 'postfix/smtpd',
    'dovecot': 'dovecot', 'selinux': 'audit', 'sendmail': 'sendmail', 'pure-ftpd': 'pure-ftpd', 'zzz-sshd': 'sshd', 'sshd': 'sshd',
    'murmur': 'murmur', 'ejabberd': 'ejabberd', 'mssql': 'mssql', 'znc': 'znc',
}

# Logs of fail2ban whose rules tattled does not have, and does not claim to.
FOREIGN = set('''3proxy assp bsd centreon counter-strike directadmin domino-smtp froxlor-auth groupoffice gssftpd guacamole horde kerio monit
monitorix nagios nsd openhab openwebmail oracleims perdition portsentry qmail scanlogd screensharingd slapd softethervpn sogo-auth
solid-pop3d squirrelmail stunnel suhosin tine20 uwimap-auth wuftpd xinetd-fail zoneminder zzz-generic-example'''.split())

# Services of the other two that tattled claims to know, and the same.
SERVICES = {
    'asterisk': 'asterisk', 'cockpit': 'cockpit-session', 'courier': 'imapd', 'cyrus': 'imaps', 'dovecot': 'dovecot', 'exim': 'exim',
    'gitea': 'gitea', 'httpd': 'apache', 'modsecurity': 'apache', 'ms-sql': 'mssql', 'netfilter': 'kernel', 'openvpn': 'openvpn',
    'pam': 'sshd', 'postfix': 'postfix/smtpd', 'proftpd': 'proftpd', 'pure-ftpd': 'pure-ftpd', 'sendmail': 'sendmail', 'squid': 'squid',
    'ssh': 'sshd', 'sshd': 'sshd', 'sshguard': 'sshguard', 'vsftpd': 'vsftpd', 'web': 'nginx', 'webmin': 'webmin',
}

# Logs of crowdsec's hub: what tattled calls the program. The others are of services that it does not claim to know.
HUB = {
    'adguardhome': 'adguardhome', 'apache2': 'apache2', 'asterisk': 'asterisk', 'audit': 'audit', 'authelia': 'authelia', 'bind9': 'named',
    'caddy': 'caddy', 'cas': 'cas', 'connection': 'Connection', 'cowrie': 'cowrie', 'cpanel': 'cpanel', 'dovecot': 'dovecot',
    'dropbear': 'dropbear', 'endlessh': 'endlessh', 'exchange-imap': 'exchange-imap', 'exchange-pop': 'exchange-pop',
    'exchange-smtp': 'exchange-smtp', 'exim': 'exim', 'filterlog': 'filterlog', 'gitea': 'gitea', 'gitlab': 'gitlab', 'gotify': 'gotify',
    'haproxy': 'haproxy', 'home-assistant': 'home-assistant', 'jellyfin': 'jellyfin', 'jellyseerr': 'jellyseerr', 'kernel': 'kernel',
    'litespeed': 'litespeed', 'mariadb': 'mariadb', 'modsecurity': 'apache2', 'modsecurity-nginx': 'nginx', 'mongodb': 'mongod',
    'mono': 'sonarr', 'mssql': 'mssql', 'mysql': 'mysqld', 'named': 'named', 'nextcloud': 'nextcloud', 'nginx': 'nginx',
    'nginx-proxy-manager': 'nginx', 'odoo': 'odoo', 'opnsense': 'opnsense', 'postfix/smtpd': 'postfix/smtpd', 'postgres': 'postgres',
    'proftpd': 'proftpd', 'prowlarr': 'prowlarr', 'pure-ftpd': 'pure-ftpd', 'pve-firewall': 'pve-firewall', 'pvedaemon': 'pvedaemon',
    'radarr': 'radarr', 'smb': 'smbd', 'smbd': 'smbd', 'smbd_audit': 'smbd', 'sonarr': 'sonarr', 'sshd': 'sshd', 'sshesame': 'sshesame',
    'suricata-evelogs': 'suricata', 'suricata-fastlogs': 'suricata-fast', 'synoscgi_syno.api.auth_7_login': 'synoscgi_SYNO.API.Auth',
    'traefik': 'traefik', 'unifi': 'dropbear', 'uptime-kuma': 'uptime-kuma', 'vaultwarden': 'vaultwarden', 'vsftpd': 'vsftpd',
    'zimbra': 'zimbra', 'zoneminder': 'zoneminder',
}

# Notes that are wrong, and why; None for all those of a log. Such a line is counted as the program that wrote it means it.
DISPUTED = {
    ('fail2ban', 'sshd', 144): 'sshd writes nothing behind the "ssh2" of a password: all up to the last " from" is the name that the peer chose',
    ('fail2ban', 'sshd-journal', 145): 'the same',
    ('crowdsec', 'adguardhome', None): 'the address is the Host header, which the peer writes; newer versions have "from ip" after it',
    ('prelude', 'modsecurity', 329): 'the answer was larger than the server allows itself: not the peer\'s doing',
    ('prelude', 'netfilter', 178): 'a packet that left: its source is the machine itself',
}


def program_of(log):
    """The program of a log of fail2ban; the longest name that it begins with counts."""
    names = [p for p in PROGRAMS if log.startswith(p)]
    return PROGRAMS[max(names, key=len)] if names else None


# What reads a corpus, which program a log of it is followed as, and whether its service is one of tattled's.
Corpus = collections.namedtuple('Corpus', 'lines program ours')
CORPORA = {
    'fail2ban': Corpus(notes.fail2ban, program_of, lambda log: log not in FOREIGN),
    'prelude': Corpus(notes.prelude, SERVICES.get, SERVICES.__contains__),
    'sshguard': Corpus(notes.sshguard, SERVICES.get, SERVICES.__contains__),
    'crowdsec': Corpus(notes.crowdsec, HUB.get, HUB.__contains__),
    'psad': Corpus(notes.psad, lambda log: 'kernel', lambda log: log != notes.NO_VERDICT),
}


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
    if getattr(a, 'scope_id', None):
        return None
    return getattr(a, 'ipv4_mapped', None) or a


def judge(corpus, log, lines, program):
    """What became of each line: found, missed, wrong (somebody else's address) or disputed, nameless, sketch, extra (found,
    and no attack there), quiet."""
    findings = [match(lines)]
    if program:
        findings.append(match(lines, '--program', program))
    for i, line in enumerate(lines):
        mine = [f[i] for f in findings if i in f]
        peer = address(line.host)
        disputed = (corpus, log, line.number) in DISPUTED or (corpus, log, None) in DISPUTED
        if not line.attack:
            became = 'extra' if any(f['kind'] != 'auth-success' for f in mine) else 'quiet'
        elif mine and (peer is None or any(address(f['ip']) != peer for f in mine)):
            became = 'disputed' if disputed else 'wrong'
        elif mine:
            became = 'found'
        elif line.sketch:
            became = 'sketch'
        elif peer is None:
            became = 'nameless'
        else:
            became = 'disputed' if disputed else 'missed'
        yield line, became, mine


COLUMNS = ('found', 'missed', 'wrong', 'nameless', 'sketch', 'extra')


def row(title, n):
    return f'{title:35}{n["found"] + n["missed"] + n["wrong"]:8}' + ''.join(f'{n[c]:9}' for c in COLUMNS)


def table(name, logs, verbose):
    """Prints what became of a corpus; how many lines were wrong."""
    corpus = CORPORA[name]
    lines = collections.defaultdict(list)
    for line in corpus.lines():
        lines[line.log].append(line)
    if not lines:
        print(f'{name}: not there, see bench/README.md\n')
        return 0
    print(f'{name:35}{"attacks":>8}' + ''.join(f'{c:>9}' for c in COLUMNS))
    sums = {True: collections.Counter(), False: collections.Counter()}
    for log in sorted(logs or lines):
        n = collections.Counter()
        shown = []
        for line, became, findings in judge(name, log, lines[log], corpus.program(log)):
            n[became] += 1
            if became in ('wrong', 'disputed') or verbose and became in ('missed', 'extra'):
                shown.append(f'    {became} {line.number}: {line.text}' + ''.join(f'\n        {f["service"]}/{f["rule"]} {f["ip"]}' for f in findings))
        ours = corpus.ours(log)
        sums[ours].update(n)
        if ours and lines[log] or n['found']:
            print(row(log, n))
        if shown and (ours or n['wrong']):
            print('\n'.join(shown))
    for ours, title in (True, 'services with rules'), (False, 'other services'):
        attacks = sum(sums[ours][c] for c in ('found', 'missed', 'wrong'))
        if attacks:
            print(row(title, sums[ours]) + f'   {sums[ours]["found"] / attacks:.1%} found')
    print()
    return sums[True]['wrong'] + sums[False]['wrong']


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('-v', action='store_true', help='show lines')
    p.add_argument('-c', action='append', choices=CORPORA, help='corpus; default: all')
    p.add_argument('logs', nargs='*', help='default: all')
    a = p.parse_args()
    if sum(table(name, a.logs, a.v) for name in a.c or CORPORA):
        sys.exit('recall: somebody else was blamed')


if __name__ == '__main__':
    main()
