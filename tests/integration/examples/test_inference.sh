#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Requests are answered in batches by the cores and by peers, each of which has a part of them, and every answer is right.
# Usage: test_inference.sh INFERENCE REQUESTS MODE PEERS LEAST_PLACES
set -u
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
export XDG_CONFIG_HOME="$folder" XDG_CACHE_HOME="$folder"
peers=$4
mkfifo "$folder/stop"
while [ "$peers" -gt 0 ]; do
    "$1" serve cores <"$folder/stop" &
    peers=$((peers - 1))
done
[ "$4" -gt 0 ] && exec 3>"$folder/stop" # held open until all are answered
"$1" "$2" 0 "$3" "$4" >"$folder/out" 3>&-
rc=$?
exec 3>&-
wait
cat "$folder/out"
[ $rc -eq 0 ] || exit 1
grep -q 'latency p50 [0-9.]* ms, p99 [0-9.]* ms' "$folder/out" || exit 1
places=$(grep ' work-items in ' "$folder/out" | grep -vc ' 0 work-items in ')
if [ "$places" -lt "$5" ]; then
    echo "at least $5 places should have had a part each"
    exit 1
fi
