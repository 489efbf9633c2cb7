# SPDX-License-Identifier: MPL-2.0
"""skua-perf in a hurry: every benchmark gives whole rows for each implementation, in schema skua.perf/1, and what it
does not understand is a usage error. Usage: test_perf.py SKUA_PERF"""
import json
import subprocess
import sys

PERF = sys.argv[1]
ROW_KEYS = ['impl', 'params', 'unit', 'n', 'min', 'p50', 'p99', 'max', 'lost']
PARAM_KEYS = {'what', 'pattern', 'transport', 'security', 'placement', 'size_bytes', 'window', 'nodes', 'work', 'items', 'rate'}


def check(condition, what):
    if not condition:
        sys.exit(f'FAILED: {what}')


def measured(bench, *options, wanted=('skua', 'libzmq')):
    run = subprocess.run([PERF, bench, '--json', '--runs', '1', *options], capture_output=True, text=True,
                         timeout=100, check=False)
    check(run.returncode == 0, f'{bench}: exit code {run.returncode}: {run.stderr}')
    check(run.stdout.count('\n') == 1 and run.stdout.endswith('\n'), f'{bench}: not one line')
    report = json.loads(run.stdout)
    check(list(report) == ['schema', 'bench', 'machine', 'rows'], f'{bench}: keys {list(report)}')
    check(report['schema'] == 'skua.perf/1' and report['bench'] == bench, f'{bench}: names')
    check(report['machine']['cpus'] >= 1 and report['machine']['libzmq'], f'{bench}: machine')
    for row in report['rows']:
        check(list(row) == ROW_KEYS, f'{bench}: keys of a row: {list(row)}')
        check(set(row['params']) <= PARAM_KEYS, f'{bench}: params {row["params"]}')
        check(row['n'] == 1 and row['lost'] == 0, f'{bench}: {row}')
        check(0 <= row['min'] <= row['p50'] <= row['p99'] <= row['max'], f'{bench}: order in {row}')
        check(row['max'] > 0 or row['unit'] == '%', f'{bench}: nothing measured in {row}')
    impls = {row['impl'] for row in report['rows']}
    check(set(wanted) <= impls, f'{bench}: implementations {impls}')
    return run.stderr


def refused(*arguments):
    run = subprocess.run([PERF, *arguments], capture_output=True, text=True, timeout=100, check=False)
    check(run.returncode == 2 and run.stderr.startswith('usage:') and not run.stdout, f'{arguments}: not refused')


refused()
refused('nothing')
refused('lat', '--runs', '0')
refused('lat', '--runs')
nowhere = subprocess.run([PERF, 'exec', 'nowhere'], capture_output=True, text=True, timeout=100, check=False)
check(nowhere.returncode == 1 and 'exec has no such case' in nowhere.stderr, f'a case that there is not: {nowhere}')
measured('lat', '--seconds', '0.05', '--only', 'same-core')
measured('thr', 'same-core', '--seconds', '0.05')
measured('task', '--seconds', '0.05', '--only', 'same-core')
measured('node', '--seconds', '0.05')
measured('mesh')
# Without OpenCL it says so, and measures the fake device alone.
told = measured('gpu', '--seconds', '0.02', '--only', 'overlap', wanted=('together', 'apart'))
check('skua-perf: gpu: ' in told, f'gpu: does not say on what: {told}')
if 'only the fake device' not in told:
    measured('gpu', '--seconds', '0.02', '--only', 'empty', wanted=('skua', 'opencl'))
    measured('gpu', '--only', 'open', wanted=('skua', 'opencl'))
    measured('gpu', '--seconds', '0.02', '--only', 'copy', wanted=('staged', 'pinned', 'pageable'))
    for case in ('throughput', 'latency,2000/s'):
        measured('batch', '--seconds', '0.02', '--only', case, wanted=('skua', 'opencl', 'one-by-one', 'opencl-1'))
else:
    measured('gpu', '--only', 'empty', wanted=())
    measured('batch', wanted=())
print('ok')
