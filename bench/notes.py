"""Other people's sample lines for recall.py, and what their authors say is in them: readers of three corpora.

A reader yields each line that has a note as a Line. It looks at the corpus alone, never at what tattled makes of it.
"""
import collections
import glob
import json
import os
import re

from benchlib import DIR

FAIL2BAN = '/usr/lib/python3/dist-packages/fail2ban/tests/files/logs'
PRELUDE = '/etc/prelude-lml/ruleset'
SSHGUARD = f'{DIR}/sshguard/tests.txt'

# log: the file or service; attack: an attack or a log-in from afar; host: whose, or '' if the note names nobody; sketch:
# no program ever wrote this.
Line = collections.namedtuple('Line', 'log number text attack host sketch', defaults=(False,))


def fail2ban():
    """The test logs of fail2ban: a JSON object before each line says whether it is an attack, and whose."""
    for log in sorted(os.path.basename(f) for f in glob.glob(f'{FAIL2BAN}/*') if os.path.isfile(f)):
        note = None
        with open(f'{FAIL2BAN}/{log}', errors='surrogateescape') as f:
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


# What sshguard's numbers mean (src/common/attack.h, src/parser/attack_scanner.l).
SERVICES = {
    '100': 'sshd', '110': 'sshguard', '200': 'uw-imap', '210': 'dovecot', '220': 'cyrus', '230': 'cucipop', '240': 'exim', '250': 'sendmail',
    '260': 'postfix', '270': 'opensmtpd', '280': 'courier', '300': 'freebsd-ftpd', '310': 'proftpd', '320': 'pure-ftpd', '330': 'vsftpd',
    '340': 'cockpit', '350': 'web', '360': 'web', '370': 'web', '400': 'openvpn', '500': 'gitea',
}


def sshguard():
    """The tests of sshguard's parser: a line, then "service address family danger", or "*" for none, then "M"."""
    if not os.path.exists(SSHGUARD):
        return
    with open(SSHGUARD) as f:
        lines = f.read().split('\n')
    log = 'sshd'
    for number, (text, note) in enumerate(zip(lines, lines[1:]), 1):
        found = re.match(r'(\d{3}) (\S+) [46] \d+$', note)
        if not found and note != '*':
            continue
        if found:
            log = SERVICES[found[1]]
        service = 'postgrey' if ' postgrey[' in text else log
        host = found[2] if found else ''
        if host and host + '%' in text:
            host = text[text.index(host):].split()[0]  # a zone, which no strict parser takes here
        # XYZ stands for what the parser skips; "1 Time(s)" is a line of logwatch.
        yield Line(service, number, text, bool(found), host, bool(re.search(r'XYZ|foo\.com|Time\(s\)$', text)))


def prelude():
    """The samples that stand before each rule of Prelude's log analyser. A line is an attack or a log-in from afar if the
    rules give it a source, and call it a successful log-in or at least of medium severity."""
    for path in sorted(glob.glob(f'{PRELUDE}/**/*.rules', recursive=True)):
        name = os.path.basename(path)[:-len('.rules')]
        with open(path, errors='surrogateescape') as f:
            samples, rules = ruleset(f.read())
        for number, text in samples:
            got = run(rules, text)
            host = next((got[k] for k in SOURCES if '@' not in got.get(k, '@')), '')
            login = 'login' in got.get('classification.text', '').lower() and got.get('assessment.impact.completion') == 'succeeded'
            log = name
            if name == 'single':  # a rule each for many programs: the tag
                log = re.split(r'[\[:]', (text.split() + [''] * 5)[4])[0]
            yield Line(log, number, text, bool(host) and (login or got.get('assessment.impact.severity') in ('medium', 'high')), host)


SOURCES = ['source(0).node.address(0).address', 'source(0).node.address(1).address', 'source(0).node.name']

Rule = collections.namedtuple('Rule', 'regex parts chained last')


def ruleset(text):
    """The samples of a file (the first of equal ones), and its rules: all in order, and those with an id by it."""
    samples, rules, parts = {}, [], ''
    for number, line in enumerate(text.split('\n'), 1):
        if line.startswith('#LOG:'):
            samples.setdefault(line[len('#LOG:'):].strip(), number)
            continue
        if line.lstrip().startswith('#'):
            continue
        parts += line.rstrip().removesuffix('\\')
        if parts.strip() and not line.rstrip().endswith('\\'):
            rules.append(rule(parts))
            parts = ''
    return [(number, text) for text, number in samples.items()], rules


def rule(text):
    """A rule of "key=value; ..." with flags in between; a semicolon of an expression has a backslash before it."""
    parts = [p.strip() for p in re.split(r'(?<!\\);', text)]
    pairs = [tuple(s.strip() for s in p.split('=', 1)) for p in parts if '=' in p]
    regex = next((v for k, v in pairs if k == 'regex'), '').replace('[:print:]', r' -~').replace(r'\;', ';')
    return Rule(re.compile(regex), [p for p in pairs if p[0] != 'regex'], 'chained' in parts, 'last' in parts)


def run(rules, text):
    """What the rules of a file say of a line: the values of each that matches, a later one over an earlier one."""
    ids = {value: r for r in rules for key, value in r.parts if key == 'id'}
    got = {}
    for r in rules:
        if not r.chained and apply(r, ids, text, got) and r.last:
            break
    return got


def apply(r, ids, text, got):
    """Puts the values of a rule into got, and those of the rules that it goes to; whether it matches at all."""
    found = r.regex.search(text)
    if not found:
        return False
    for key, value in r.parts:
        if key in ('goto', 'optgoto'):
            first, _, end = value.partition('-')
            for n in range(int(first), int(end or first) + 1):
                if str(n) in ids:
                    apply(ids[str(n)], ids, text, got)
        else:
            got[key] = re.sub(r'\$(\d+)', lambda m: found[int(m[1])] or '' if int(m[1]) <= found.re.groups else '', value)
    return True
