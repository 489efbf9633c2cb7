#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# The example's digests are those of sha256sum, around every edge of the padding. Usage: test_sha256.sh SHA256 MODE BYTES
set -u
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
for size in 0 1 3 55 56 57 63 64 65 119 120 1000 "$3"; do
    head -c "$size" "$1" >"$folder/$size"
done
"$1" "$2" "$folder"/* >"$folder.ours" 2>"$folder.shares" || { cat "$folder.shares"; rm -f "$folder".*; exit 1; }
sha256sum "$folder"/* >"$folder.theirs"
cat "$folder.shares"
cmp "$folder.ours" "$folder.theirs"
rc=$?
# With "device" nothing may have run on the cores.
if [ "$2" = device ] && ! grep -q '^cores  *0 work-items' "$folder.shares"; then
    echo "the cores did it"
    rc=1
fi
rm -f "$folder".*
exit $rc
