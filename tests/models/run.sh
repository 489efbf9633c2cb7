#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Usage: run.sh MODEL.pml: lets Spin search the whole of a model, which must hold, and of each of its wrong variants (the
# WRONG_ names in it), which must not. Exits with 77 where Spin is missing.
set -u

model=$1
if ! command -v spin >/dev/null || ! command -v gcc >/dev/null; then
    echo "spin or gcc is missing"
    exit 77
fi
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
cp "$model" "$folder/model.pml" || exit 1
cd "$folder" || exit 1

# search [-DNAME]: prints the number of errors that Spin found, and of states
search() {
    # -o3 keeps statements apart, so that what is not marked atomic is interleaved.
    spin -a -o3 "$@" model.pml >spin.log 2>&1 || { cat spin.log >&2; return 1; }
    gcc -O0 -w -DSAFETY -DCOLLAPSE -DVECTORSZ=2048 -o pan pan.c || return 1
    ./pan -m1000000 >pan.log 2>&1
    if grep -qE 'max search depth too small|out of memory' pan.log; then
        cat pan.log >&2
        return 1
    fi
    sed -n 's/^State-vector.*errors: \([0-9]*\).*/\1/p; s/^ *\([0-9]*\) states, stored.*/\1/p' pan.log | tr '\n' ' '
}

failed=0
result=$(search) || failed=1
echo "right: errors, states: $result"
case $result in
"0 "*) ;;
*)
    cat pan.log
    failed=1
    ;;
esac
variants=$(sed -n 's/^ \* \(WRONG_[A-Z_]*\):.*/\1/p' model.pml)
[ -n "$variants" ] || failed=1
for variant in $variants; do
    result=$(search "-D$variant") || failed=1
    echo "$variant: errors, states: $result"
    case $result in
    "" | "0 "*)
        echo "$variant was not noticed"
        failed=1
        ;;
    *)
        if ! grep -qE 'assertion violated|invalid end state' pan.log; then
            cat pan.log
            failed=1
        fi
        ;;
    esac
done
exit $failed
