#!/usr/bin/env python3
"""Syslog on loopback: loss and CPU per message by rate (UDP), most messages a second (TCP), receivers taking turns.

    ingest.py                              bin/tattled, a sink that only counts, and rsyslog where bench/setup unpacked it
    ingest.py --case udp --rates 150000    one case
    ingest.py --case udp-new --rates 100000 --seconds 10    every second line an attack by an address that was not there before

All runs in a network namespace of its own, so as root the receive buffer may be of any size; port 15514 is the receivers'.
tattled does its full work: header, detection of the auth corpus (half of it attacks), commits. rsyslog writes each message
to a file in memory, the sink does nothing. Every address is from a documentation range: seen, never reported. "anon" is the
most memory in MiB without the pages of files, "state" the size of the state file in MB, and "ratio" the CPU beside rsyslog's, round
by round.
Loads of two seconds or more: CPU is counted in ticks of 10 ms.
"""
import argparse
import glob
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
from benchlib import BIN, DIR, HERE, corpus

PORT, WEB, OUT = 15514, 19817, '/dev/shm/tattled-bench.out'
CASES = {'udp': ('udp', '3164'), 'udp-new': ('udp', '3164'), 'udp-5424': ('udp', '5424'), 'tcp-lf': ('lf', '3164'), 'tcp-count': ('count', '5424')}
TICKS = os.sysconf('SC_CLK_TCK')

TATTLED = f'''
sources:
  syslog:
    - {{listen: "udp://127.0.0.1:{PORT}", allow: [127.0.0.0/8], trust: report}}
    - {{listen: "tcp://127.0.0.1:{PORT}", allow: [127.0.0.0/8], trust: report}}
store: {{path: {DIR}/state/state.db}}
web: {{listen: "127.0.0.1:{WEB}"}}
'''
RSYSLOG = f'''
global(workDirectory="{DIR}" maxMessageSize="8k")
main_queue(queue.size="500000" queue.dequeueBatchSize="1024" queue.workerThreads="1")
module(load="imudp" batchSize="128" timeRequery="8") input(type="imudp" address="127.0.0.1" port="{PORT}" rcvbufSize="4m")
module(load="imptcp" threads="2") input(type="imptcp" address="127.0.0.1" port="{PORT}")
template(name="raw" type="string" string="%rawmsg%\\n")
if $inputname startswith "im" then {{
  action(type="omfile" file="{OUT}" template="raw" asyncWriting="off" ioBufferSize="64k" flushOnTXEnd="on")
  stop
}}
'''


def write(name, text):
    with open(f'{DIR}/{name}', 'w') as f:
        f.write(text)
    return f'{DIR}/{name}'


def command(receiver, case):
    """What to start, None where the receiver has no such case or is not there."""
    transport = CASES[case][0]
    if receiver == 'sink':
        return None if transport == 'count' else [f'{BIN}/sink', 'udp' if transport == 'udp' else 'tcp', str(PORT)]
    if receiver == 'rsyslog':
        daemon, modules = f'{DIR}/rsyslog/usr/sbin/rsyslogd', glob.glob(f'{DIR}/rsyslog/usr/lib/*/rsyslog')
        return [daemon, '-n', '-iNONE', '-f', write('rsyslog.conf', RSYSLOG), '-M', modules[0]] if modules else None
    shutil.rmtree(f'{DIR}/state', ignore_errors=True)
    os.mkdir(f'{DIR}/state')
    return [f'{HERE}/../bin/tattled', 'run', '--config', write('tattled.yaml', TATTLED)]


def family(leader):
    """Process ids of a receiver and all that it started, with their CPU seconds."""
    for path in glob.glob('/proc/[0-9]*/stat'):
        try:
            with open(path) as f:
                field = f.read().rsplit(')', 1)[1].split()
        except OSError:
            continue
        if int(field[3]) == leader:
            yield path.split('/')[2], (int(field[11]) + int(field[12])) / TICKS


def cpu(leader):
    return sum(seconds for _, seconds in family(leader))


def memory(leader, what):
    total = 0
    for pid, _ in family(leader):
        with open(f'/proc/{pid}/status') as f:
            total += int(re.search(what + r':\s+(\d+)', f.read())[1])
    return total / 1024


class Watch(threading.Thread):
    """Looks every 50 ms how much memory a receiver has that is not of files: in all, the ring of a listener included."""

    def __init__(self, leader):
        super().__init__(daemon=True)
        self.leader, self.most, self.over = leader, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.05):
            try:
                self.most = max(self.most, memory(self.leader, 'RssAnon') + memory(self.leader, 'RssShmem'))
            except (OSError, TypeError):
                pass  # a process just ended

    def end(self):
        self.over.set()
        self.join()
        return self.most


def received():
    """What tattled has counted."""
    with urllib.request.urlopen(f'http://127.0.0.1:{WEB}/metrics', timeout=5) as r:
        return sum(float(v) for v in re.findall(r'^tattled_receiver_records_total\{.*\} (\S+)', r.read().decode(), re.M))


def ready(process, receiver, udp):
    state, table = ('07', 'udp') if udp else ('0A', 'tcp')
    for _ in range(400):
        if process.poll() is not None:
            break
        with open(f'/proc/net/{table}') as f:
            if any(line.split()[1].endswith(f':{PORT:04X}') and line.split()[3] == state for line in f.readlines()[1:]):
                try:
                    return received() if receiver == 'tattled' else 0
                except (urllib.error.URLError, ConnectionError):
                    pass
        time.sleep(0.05)
    sys.exit(f'{receiver} does not get ready:\n' + open(f'{DIR}/receiver.err', errors='replace').read()[-1000:])


def settle(leader):
    """Waits until nothing was done for half a second; the time when something last was."""
    last, busy = cpu(leader), time.monotonic()
    while time.monotonic() - busy < 0.5:
        time.sleep(0.1)
        if (now := cpu(leader)) - last > 0.015:
            last, busy = now, time.monotonic()
    return busy


def run(receiver, case, rate, a):
    """One load on one receiver."""
    transport, form = CASES[case]
    log, _ = corpus('flood', form, 1048576) if case.endswith('-new') else corpus('auth', form, 131072)
    total = int(rate * a.seconds) if transport == 'udp' else a.messages
    if os.path.exists(OUT):
        os.unlink(OUT)
    with open(f'{DIR}/receiver.out', 'w+') as out, open(f'{DIR}/receiver.err', 'w') as err:
        process = subprocess.Popen(command(receiver, case), stdout=out, stderr=err, start_new_session=True)
        try:
            before = ready(process, receiver, transport == 'udp')
            time.sleep(0.5)
            used, begin, watch = cpu(process.pid), time.monotonic(), Watch(process.pid)
            sent = subprocess.run([f'{BIN}/load', transport, str(PORT), log, str(total), str(rate)], stdout=subprocess.PIPE, check=True, text=True)
            took = max(float(sent.stdout.split()[1]), settle(process.pid) - begin if transport != 'udp' else 0)
            used, anon, most = cpu(process.pid) - used, watch.end(), memory(process.pid, 'VmHWM')
            got = received() - before if receiver == 'tattled' else 0
            state = os.path.getsize(f'{DIR}/state/state.db') / 1e6 if receiver == 'tattled' else 0
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
        if receiver == 'sink':
            out.seek(0)
            got = int(out.read())
        elif receiver == 'rsyslog' and os.path.exists(OUT):
            with open(OUT, 'rb') as f:
                got = sum(1 for _ in f)
    return dict(sent=total / float(sent.stdout.split()[1]), got=got / took, loss=100 * (total - got) / total, us=used / max(got, 1) * 1e6, mib=most, anon=anon, state=state)


def ratio(each, runs):
    """CPU beside rsyslog's, 0 where there is none."""
    return statistics.median(x['us'] / y['us'] for x, y in zip(each, runs['rsyslog'])) if runs.get('rsyslog') else 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--case', default=','.join(CASES), help='default %(default)s')
    p.add_argument('--rates', default='50000,150000,400000', help='UDP messages a second (default %(default)s)')
    p.add_argument('--seconds', type=float, default=2, help='length of a UDP load')
    p.add_argument('--messages', type=int, default=2_000_000, help='length of a TCP load')
    p.add_argument('-r', type=int, default=3, metavar='ROUNDS')
    a = p.parse_args()
    if not os.environ.get('BENCH_NAMESPACE'):
        os.environ['BENCH_NAMESPACE'] = '1'
        unshare = ['unshare', '-n'] if os.geteuid() == 0 else ['unshare', '-rn']
        os.execvp('unshare', [*unshare, sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
    sys.stdout.reconfigure(line_buffering=True)
    for case in a.case.split(','):
        udp = CASES[case][0] == 'udp'
        here = [r for r in ('sink', 'tattled', 'rsyslog') if command(r, case)]
        for rate in [int(r) for r in a.rates.split(',')] if udp else [0]:
            runs = {r: [] for r in here}
            for _ in range(a.r):
                for r in here:
                    runs[r].append(run(r, case, rate, a))
            print(f'\n{case}, ' + (f'{rate:,} messages/s offered' if udp else 'as fast as it goes'))
            print(f'  {"":10}{"sent/s":>11}{"got/s":>11}{"loss %":>8} {"[min-max]":>14}{"us cpu/msg":>12}{"ratio":>8}{"MiB":>8}{"anon":>8}{"state":>8}')
            for r, each in runs.items():
                m = {k: statistics.median(x[k] for x in each) for k in each[0]}
                span = f'[{min(x["loss"] for x in each):.2f}-{max(x["loss"] for x in each):.2f}]'
                print(f'  {r:10}{m["sent"]:11,.0f}{m["got"]:11,.0f}{m["loss"]:8.2f} {span:>14}{m["us"]:12.2f}{ratio(each, runs):8.2f}{m["mib"]:8.1f}{m["anon"]:8.1f}{m["state"]:8.1f}')
    if os.path.exists(OUT):
        os.unlink(OUT)


if __name__ == '__main__':
    main()
