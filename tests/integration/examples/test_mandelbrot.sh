#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# The picture is rendered by all places together: each of them has a part, with peers and without. What was learned before is not
# looked at, so that all of them are tried. Usage: test_mandelbrot.sh MANDELBROT FILE.png WIDTH MODE PEERS LEAST_PLACES
set -u
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
export XDG_CONFIG_HOME="$folder" XDG_CACHE_HOME="$folder"
peers=$5
mkfifo "$folder/stop"
while [ "$peers" -gt 0 ]; do
    "$1" serve cores <"$folder/stop" &
    peers=$((peers - 1))
done
[ "$5" -gt 0 ] && exec 3>"$folder/stop" # held open until the picture is there
"$1" "$2" "$3" "$4" "$5" >"$folder/out" 3>&-
rc=$?
exec 3>&-
wait
cat "$folder/out"
[ $rc -eq 0 ] || exit 1
places=$(grep -c ' work-items in ' "$folder/out")
if [ "$places" -lt "$6" ] || grep -q ' 0 work-items in ' "$folder/out"; then
    echo "at least $6 places should have had a part each"
    exit 1
fi
# Compilers round differently, which shows at the set's edge alone: rows that are not where they belong show everywhere.
"$1" "$folder/cores.png" "$3" cores >"$folder/out" || exit 1
different=$(cmp -l "$2" "$folder/cores.png" | wc -l)
echo "$different bytes differ from what the cores render"
[ "$different" -le $(($3 * $3 / 100)) ]
