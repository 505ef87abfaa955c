"""What detect.py and ingest.py share: where things lie, corpora that are made when they are missing, CPU time of a command."""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
DIR = os.environ.get('BENCH_DIR') or os.path.join(tempfile.gettempdir(), 'tattled-bench')
BIN = os.path.join(DIR, 'bin')


def corpus(kind, form, lines):
    """Path of a corpus, and how many of its lines are of which class."""
    path = f'{DIR}/{kind}-{lines}.{form}'
    if not os.path.exists(path + '.truth'):
        if not os.path.exists(f'{BIN}/gen'):
            sys.exit(f'there are no tools in {BIN}: run bench/setup')
        subprocess.run([f'{BIN}/gen', '-kind', kind, '-format', form, '-n', str(lines), '-o', path, '-truth', path + '.truth'], check=True)
    with open(path + '.truth') as f:
        return path, json.load(f)['classes']


def timed(command, stdin='/dev/null', locale='C'):
    """Runs command: CPU seconds, peak MiB, exit status, what it printed."""
    result = f'{DIR}/tm.result'
    with open(stdin, 'rb') as given, open(f'{DIR}/tm.out', 'wb') as out, open(f'{DIR}/tm.err', 'wb') as err:
        subprocess.run([f'{BIN}/tm', *command], stdin=given, stdout=out, stderr=err, check=True, env=dict(os.environ, LC_ALL=locale, TM_RESULT=result))
    with open(result) as f:
        _, user, system, peak, status = f.read().split()
    return float(user) + float(system), int(peak) / 1024, int(status), f'{DIR}/tm.out'
