"""Other people's sample lines for recall.py, and what their authors say is in them: readers of five corpora.

A reader yields each line that has a note as a Line. It looks at the corpus alone, never at what tattled makes of it.
"""
import ast
import collections
import glob
import json
import os
import re

from benchlib import DIR

FAIL2BAN = '/usr/lib/python3/dist-packages/fail2ban/tests/files/logs'
PRELUDE = '/etc/prelude-lml/ruleset'
SSHGUARD = f'{DIR}/sshguard/tests.txt'
CROWDSEC = f'{DIR}/crowdsec/hub1/.tests'
PSAD = f'{DIR}/psad/iptables'

# log: the file or service; number: of the line, with the file if a log has several; attack: an attack or a log-in from afar; host: whose,
# or '' if the note names nobody; sketch: no program ever wrote this.
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


# What crowdsec's parsers say of a line (Meta["log_type"]): whether that is an attack or a login. What is in neither list has no note.
ATTACKS = {
    'ADMIN_LOGIN_FAILED': 'a failed login to the shop',
    'adguardhome_failed_auth': 'a failed login',
    'asterisk_failed_auth': 'a failed registration, or one of an account that there is not',
    'auth_bf_attempt': 'cPanel: a failed login',
    'auth_bf_log': 'cPanel: the address is locked out after failed logins',
    'authelia_failed_clf_auth': 'a failed login',
    'authelia_failed_json_auth': 'a failed login',
    'auth_fail': 'LiteSpeed: a failed login to a folder',
    'bind9_denied': 'a query that the server denies to strangers',
    'cas_failed-auth': 'a failed login',
    'cowrie_login': 'whoever connects to a honeypot is a probe',
    'emby_failed_auth': 'a failed login',
    'endlessh_accept': 'whoever connects to a tarpit is a probe',
    'exim_failed_auth': 'a failed login',
    'ftp_failed_auth': 'a failed login',
    'gitea_failed_auth': 'a failed login',
    'gitlab_failed_password': 'a failed login',
    'gitlab_failed_totp': 'a failed second factor',
    'gotify_failed_auth': 'a failed login',
    'home-assistant_failed_auth': 'a failed login',
    'iptables_drop': 'a refused packet',
    'jellyfin_failed_auth': 'a failed login',
    'jellyseerr_failed_auth': 'a failed login',
    'kasm_failed_auth': 'a failed login',
    'litespeed_admin_auth_fail': 'a failed login to the page of administrators',
    'llng_auth_fail': 'a failed login',
    'mariadb_failed_auth': 'a failed login',
    'meshcentral_failed_auth': 'a failed login',
    'modsecurity': 'a request that a rule of the web application firewall suits',
    'mongodb_failed_auth': 'a failed login',
    'mssql': 'a failed login: the parser gives it no type, and knows nothing else',
    'mysql_failed_auth': 'a failed login',
    'nextcloud_bruteforce_attempt': 'the program itself takes it for guessing',
    'nextcloud_failed_auth': 'a failed login',
    'odoo_failed_auth': 'a failed login',
    'ombi_auth_failed': 'a failed login',
    'opnsense-gui-failed-auth': 'a failed login',
    'pam_failed_auth': 'a failed login; one at the machine itself names no address',
    'pf_drop': 'a refused packet',
    'pftpd_failed-auth': 'a failed login',
    'pgsql_failed_auth': 'a failed login',
    'prowlarr_failed_authentication': 'a failed login',
    'pterodactly_wings_invalid_username_or_password': 'a failed login by SFTP',
    'pterodactly_wings_invalid_format': 'a login by SFTP with a name that no account can have',
    'pve_failed-auth': 'a failed login',
    'radarr_failed_authentication': 'a failed login',
    'smb_failed_auth': 'a failed login',
    'sonarr_failed_authentication': 'a failed login',
    'spam-attempt': 'Exim: a mail, or a whole connection, that the server rejects by rule',
    'ssh_failed-auth': 'a failed login',
    'sshesame_cmd': 'whoever talks to a honeypot is a probe',
    'sshesame_input': 'the same',
    'sshesame_login': 'the same',
    'suricata_alert': 'a packet that a signature suits',
    'synology-dsm_failed_auth': 'a failed login',
    'telnet_new_session': 'Cowrie: whoever connects to a honeypot is a probe',
    'thehive_failed_auth': 'a failed login',
    'ts3_fail_auth': 'a failed login',
    'uptime_kuma_failed_password': 'a failed login',
    'uptime_kuma_failed_totp': 'a failed second factor',
    'vaultwarden_failed_admin_auth': 'a failed login',
    'vaultwarden_failed_auth': 'a failed login',
    'vaultwarden_failed_totp': 'a failed second factor',
    'windows_failed_auth': 'a failed login',
    'zimbra_auth_fail': 'a failed login',
    'zm_failed_auth': 'a failed login',
}

# The same by what else the parser says, for a type that says too little: the name in Meta, and the values that are attacks or logins.
DETAILS = {
    'dovecot_logs': ('dovecot_login_result', re.compile(r'(?i)auth.*fail|password mismatch|unknown user')),  # also a login, and who goes without one
    'http_error-log': ('sub_type', re.compile('auth_fail|litespeed_admin_auth_fail|req_limit_exceeded')),  # also a file that there is not
    'imap': ('sub_type', re.compile('auth_fail')),
    'mail_auth': ('sub_type', re.compile('auth_fail|auth_success')),  # also an address without a name
    'pop': ('sub_type', re.compile('auth_fail')),
    'postfix': ('log_type_enh', re.compile('spam-attempt')),
    'smtp': ('sub_type', re.compile('auth_fail')),
}

# No notes of these, though the parser takes them for something:
# http_access-log      any request at all
# tcp_syn              what tcpdump saw
# nextcloud_domain_error   a Host header that the server does not serve: whatever robot goes by the address
# mail_new_session     a connection
# pam_user_lock        names a user alone
# PAYMENT_FAILED, CUSTOMER_LOGIN_SUCCESS and the like: what customers of a shop do
# CVE-2021-4034-xpl    what a local user does

# Scenarios whose every single request is an attack. http-probing counts what is not found: each by itself is a wrong link.
REQUESTS = re.compile(r'''(?ix)cve-20 | vmsa-20 | http-(backdoors|bad-user-agent|bf-wordpress|open-proxy|path-traversal|sensitive-files|sqli|w00tw00t|xss
    |wordpress|apiscp)''')

# A packet in a line of netfilter, and a prefix that says what became of it. Without such a prefix nothing says that: a log of their own.
PACKET = re.compile(r'kernel: (?:\[[ \d.]+\] )?(?P<prefix>.*?)IN=(?P<into>\S*) OUT=(?P<out>\S*) .*?SRC=(?P<source>\S+)')
VERDICT = re.compile(r'DROP|REJECT|DENY|BLOCK', re.I)
NO_VERDICT = 'prefix without a verdict'


def crowdsec():
    """The tests of crowdsec's hub: a log each, what the parsers say of its lines (parser.assert), and the addresses of the
    events that made a scenario overflow (scenario.assert). Of a test without the first the second are the notes, of those events
    alone that are kept with it; what else is in such a log has no note."""
    for config in sorted(glob.glob(f'{CROWDSEC}/*/config.yaml')):
        test = os.path.basename(os.path.dirname(config))
        with open(config) as f:
            settings = dict(re.findall(r'(?m)^(log_file|log_type): *(\S+)', f.read()))
        with open(f'{os.path.dirname(config)}/{settings["log_file"]}', errors='surrogateescape') as f:
            lines = f.read().split('\n')
        notes = parsed(test, lines)
        if not notes:
            notes = overflowed(test, lines)
        for index, (attack, host) in sorted(notes.items()):
            text = lines[index]
            log = settings['log_type'] if settings['log_type'] != 'syslog' else tag(text)
            if log == 'modsecurity' and 'nginx' in test:
                log = 'modsecurity-nginx'
            packet = PACKET.search(text)
            if packet and not VERDICT.search(packet['prefix']):
                log = NO_VERDICT
            yield Line(log.lower(), f'{test}:{index + 1}', text, attack, host)


def tag(line):
    found = re.match(r'(?:<\d+>1? ?)?(?:\w{3} +\d+ [\d:]+|\d\S+) \S+ ([^\s:\[]+)', line)
    return found[1] if found else 'syslog'


def asserted(path, regex):
    """What an assertion file says: {key: {name: value}}, by the groups of a regular expression."""
    got = {}
    if not os.path.exists(path):
        return got
    with open(path) as f:
        for line in f:
            found = re.match(regex + r' == (?P<value>.+)$', line)
            if found:
                value = found['value']
                value = value == 'true' if value in ('true', 'false') else ast.literal_eval(value)
                got.setdefault(found['key'], {})[found['name']] = value
    return got


def parsed(test, lines):
    """{index of a line: (attack, host)} by what the parsers say of each."""
    notes = {}
    stage = r'results(?P<key>\["s01-parse"\]\["[^"]*"\]\[\d+\])\.(?:Evt\.)?(?P<name>.+?)'
    events = asserted(f'{CROWDSEC}/{test}/parser.assert', stage)
    taken = set()
    for key, said in events.items():
        if 'Success' not in said:
            continue
        message = said.get('Parsed["message"]')
        if message is None:  # the parser keeps no message: it saw each line of the log in turn
            places = [int(re.search(r'\d+(?=\]$)', key)[0])]
        else:
            places = [i for i, line in enumerate(lines) if message in line and i not in taken]
        if not places or places[0] >= len(lines) or not lines[places[0]]:
            continue
        index = places[0]
        if said['Success']:
            taken.add(index)
            notes[index] = judged(said, 'Meta["{}"]')
        else:
            notes.setdefault(index, (False, ''))
    return {index: note for index, note in notes.items() if note}


def judged(said, form):
    """(attack, host) of what is said of an event; nothing if that is no note."""
    kind = next((said[form.format(name)] for name in ('log_type', 'sub_type', 'service') if form.format(name) in said), None)
    host = said.get(form.format('source_ip'), '')
    if kind in ATTACKS:
        return True, host
    if kind in DETAILS:
        name, values = DETAILS[kind]
        return bool(values.search(said.get(form.format(name), ''))), host
    return None


# What an event of an overflow says that is in its line as well.
WITNESSES = ('target_user', 'user', 'username', 'http_path', 'http_verb', 'http_status', 'http_user_agent')


def overflowed(test, lines):
    """The same by the events that made scenarios overflow: the first line each that has what the event says, and that no event of
    the same overflow has taken."""
    path = f'{CROWDSEC}/{test}/scenario.assert'
    events = asserted(path, r'results(?P<key>\[\d+\]\.Overflow\.Alert\.Events\[\d+\])\.GetMeta\("(?P<name>\w+)"\)')
    names = asserted(path, r'results(?P<key>\[\d+\])\.Overflow\.Alert\.(?P<name>GetScenario\(\))')
    notes = {}
    taken = set()
    for key, said in events.items():
        overflow = key[:key.index(']') + 1]
        note = judged(said, '{}')
        if said.get('log_type') in ('http_access-log', 'http_error-log') and REQUESTS.search(names[overflow]['GetScenario()']):
            note = True, said.get('source_ip', '')
        if not note or not note[0] or not note[1]:
            continue
        peer = re.compile(rf'(?<![\w.:]){re.escape(note[1])}(?!\w)')
        words = [said[w] for w in WITNESSES if said.get(w)]
        for i, line in enumerate(lines):
            if (overflow, i) not in taken and peer.search(line.replace('::ffff:', '')) and all(w in line for w in words):
                taken.add((overflow, i))
                notes[i] = note
                break
    return notes


def psad():
    """The packets that psad is tested with: lines of netfilter. The note is the source of a packet that came in (no interface that it
    leaves by) and was refused, by the prefix of the rule. Those without such a prefix are a log of their own: nothing says what became
    of them. A line that has the name of a file before it was written by grep."""
    for path in sorted(glob.glob(f'{PSAD}/*')):
        with open(path, errors='surrogateescape') as f:
            for number, text in enumerate(f.read().split('\n'), 1):
                found = PACKET.search(text)
                if not found:
                    continue
                name = os.path.basename(path)
                log = name if VERDICT.search(found['prefix']) else NO_VERDICT
                inbound = bool(found['into'] and not found['out'])
                yield Line(log, f'{name}:{number}', text, inbound, found['source'], not re.match(r'\w{3} |\d', text))
