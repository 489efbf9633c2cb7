#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# gpu/probe is one file that the line at its head builds, with no part of skua, and it finds a driver whose ICD file is missing.
# Usage: test_probe.sh PROBE_C
set -u
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
cp "$1" "$folder/probe.c"
line=$(sed -n 's|^// *\(cc .*\)$|\1|p' "$1")
[ -n "$line" ] || { echo "there is no line to build it with"; exit 1; }
(cd "$folder" && $line) || exit 1
"$folder/probe" 1 >"$folder/out" || { cat "$folder/out"; exit 1; }
for wanted in 'empty launch and finish' 'empty launch of a batch' 'device memory' 'single precision' \
    'to the device, pinned' 'from the device, pageable' 'to the device, staged by 1' 'from the device, staged by 4'; do
    grep -q "$wanted .*[0-9]" "$folder/out" || { echo "no figure for: $wanted"; cat "$folder/out"; exit 1; }
    grep -q failed "$folder/out" && { cat "$folder/out"; exit 1; }
done
ls /usr/lib/*/libpocl.so.2 >/dev/null 2>&1 || exit 0
OPENCL_VENDOR_PATH=/nonexistent "$folder/probe" 1 >"$folder/out"
grep -q 'no ICD file; trying with OCL_ICD_VENDORS=' "$folder/out" && grep -q 'device memory' "$folder/out" && exit 0
echo "a missing ICD file stops it"
cat "$folder/out"
exit 1
