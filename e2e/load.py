#!/usr/bin/env python3
"""load.py: senders of syslog for the tests on real machines, to run out on "the internet" (box hub).

  load.py udp|tcp|octets ADDRESS PORT FIRST COUNT RATE
      COUNT numbered failed log-ins, RATE a second: line n has an address of its own, so that what arrives can be counted,
      and what arrives twice. tcp frames by LF, octets by counts. A connection that breaks is made anew, and nothing is
      sent again. Prints how often one broke.

  load.py conns ADDRESS PORT COUNT
      COUNT connections, then commands from standard input, each answered by a line: "say FIRST" sends a record on each,
      "alive" counts those that nobody closed.

  load.py dns ADDRESS ANSWER
      a resolver at ADDRESS that says ANSWER to every question

  load.py squat ADDRESS PORT
      holds a TCP port until it is killed

  load.py hello PORT
      says what name the first TLS client on PORT asks for
"""
import socket
import sys
import time


def record(n):
    return b"<38>Nov 22 05:40:00 c1 sshd[%d]: Failed password for root from 45.%d.%d.%d port 4711 ssh2" % (
        n, 60 + (n >> 16 & 63), n >> 8 & 255, n & 255)


def connect(address, port, n=None):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if n is not None:  # from many addresses
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("46.1.%d.%d" % (n >> 8, n & 255), 0))
    s.settimeout(10)
    s.connect((address, port))
    return s


def send(how, address, port, first, count, rate):
    if how == "udp":
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("46.2.0.1", 0))
        s.connect((address, port))
    else:
        s = connect(address, port, 1)
    start, broken = time.monotonic(), 0
    for i in range(count):
        line = record(first + i)
        if how == "tcp":
            line += b"\n"
        elif how == "octets":
            line = b"%d %s" % (len(line), line)
        try:
            s.sendall(line)
        except OSError:
            broken += 1
            if how != "udp":
                s = connect(address, port, 1)
        wait = start + (i + 1) / rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
    if how != "udp":
        time.sleep(1)
    print(broken)


def alive(s):
    s.setblocking(False)
    try:
        return s.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        s.settimeout(10)


def conns(address, port, count):
    all_of_them = [connect(address, port, n) for n in range(count)]
    print(len(all_of_them), flush=True)
    for command in sys.stdin:
        words = command.split()
        if words[0] == "say":
            sent = 0
            for i, s in enumerate(all_of_them):
                try:
                    s.sendall(record(int(words[1]) + i) + b"\n")
                    sent += 1
                except OSError:
                    pass
            print(sent, flush=True)
        else:
            print(sum(alive(s) for s in all_of_them), flush=True)


def hello(port):
    with socket.create_server(("0.0.0.0", port)) as listener:
        listener.settimeout(120)
        c, _ = listener.accept()
        c.settimeout(10)
        greeting = c.recv(4096)
        for name in (b"api.abuseipdb.com",):
            if name in greeting:
                print(name.decode(), flush=True)


def dns(address, answer):
    """A resolver that knows one address."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, 53))
    while True:
        query, peer = s.recvfrom(512)
        end = query.index(b"\0", 12) + 5  # of the question
        is_a = query[end - 4:end - 2] == b"\0\1"
        reply = query[:2] + b"\x81\x80\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0" + query[12:end]
        if is_a:
            reply += b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(answer)
        s.sendto(reply, peer)


def main(args):
    match args:
        case ["udp" | "tcp" | "octets" as how, address, port, first, count, rate]:
            send(how, address, int(port), int(first), int(count), float(rate))
        case ["conns", address, port, count]:
            conns(address, int(port), int(count))
        case ["hello", port]:
            hello(int(port))
        case ["dns", address, answer]:
            dns(address, answer)
        case ["squat", address, port]:  # holds a port until it is killed
            with socket.create_server((address, int(port)), reuse_port=False):
                print("held", flush=True)
                time.sleep(3600)
        case _:
            sys.exit(__doc__)


main(sys.argv[1:])
