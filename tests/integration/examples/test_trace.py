# SPDX-License-Identifier: MPL-2.0
# The times of launches on a real driver, as an example writes them: each command within its launch, in the order of its life,
# the copies and kernels of a queue one after the other.
# Usage: test_trace.py PROGRAM [ARG...]; a file for the trace is added as its last argument.
import json
import os
import subprocess
import sys
import tempfile

SLACK_US = 200  # clocks are related to some microseconds, and anew when they drift


def check(good, what):
    if not good:
        sys.exit(f'FAILED: {what}')


with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'trace.json')
    code = subprocess.run(sys.argv[1:] + [path]).returncode
    if code:
        sys.exit(code)  # 77: there is no device
    with open(path) as file:
        events = [e for e in json.load(file)['traceEvents'] if e['pid'] > 1]

begun = {e['args']['launch']: e for e in events if e['ph'] == 'b' and e['cat'] == 'launch'}
ended = {e['id']: e['ts'] for e in events if e['ph'] == 'e'}
slices = [e for e in events if e['ph'] == 'X']
check(len(begun) > 0 and len(slices) >= len(begun), f'{len(begun)} launches, {len(slices)} commands')
for one in slices:
    args, end = one['args'], one['ts'] + one['dur']
    launch = begun[args['launch']]
    check(launch['ts'] <= args['queued_us'] <= args['submitted_us'] <= one['ts'] + 0.002, f'order of {one}')
    check(end <= ended[launch['id']] + 0.002, f'{one} ends after its launch')
for row in {e['tid'] for e in slices}:
    queue = sorted((e for e in slices if e['tid'] == row), key=lambda e: e['ts'])
    for before, after in zip(queue, queue[1:]):
        check(before['ts'] + before['dur'] <= after['ts'] + SLACK_US, f'{before} overlaps {after}')
print(f'{len(begun)} launches, {len(slices)} commands')
