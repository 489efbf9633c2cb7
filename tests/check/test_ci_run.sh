#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# .ci/run with a ./dev of our own: it must never pass when something failed. Usage: test_ci_run.sh ROOT
set -u
root=$1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir "$work/.ci"
cp "$root/.ci/run" "$work/.ci/run"
bad=0

# expect NAME RC LAST_LINE: what .ci/run says about the ./dev on stdin.
expect() {
    cat >"$work/dev"
    chmod +x "$work/dev"
    "$work/.ci/run" >"$work/out" 2>&1
    rc=$?
    last=$(tail -n 1 "$work/out")
    if [ "$rc" -ne "$2" ] || [ "$last" != "$3" ]; then
        echo "$1: rc $rc, \"$last\" instead of rc $2, \"$3\""
        bad=1
    fi
}

expect 'all is well' 0 '10 passed, 0 failed, 5 skipped' <<'END'
#!/bin/sh
echo "2 passed, 0 failed, 1 skipped"
END
expect 'a counted failure' 1 '10 passed, 1 failed, 0 skipped' <<'END'
#!/bin/sh
[ $1 = tsan ] && { echo "2 passed, 1 failed, 0 skipped"; exit 1; }
echo "2 passed, 0 failed, 0 skipped"
END
expect 'an exit code without a count' 1 '8 passed, 1 failed, 0 skipped' <<'END'
#!/bin/sh
[ $1 = test ] && { echo "no such compiler"; exit 1; }
echo "2 passed, 0 failed, 0 skipped"
END
expect 'a bad exit code beside a good count' 1 '10 passed, 1 failed, 0 skipped' <<'END'
#!/bin/sh
echo "2 passed, 0 failed, 0 skipped"
[ $1 != fuzz ]
END
expect 'a count of failures beside a good exit code' 1 '10 passed, 15 failed, 0 skipped' <<'END'
#!/bin/sh
echo "2 passed, 3 failed, 0 skipped"
END
expect 'silence' 1 '0 passed, 5 failed, 0 skipped' <<'END'
#!/bin/sh
exit 0
END
expect 'killed' 1 '0 passed, 5 failed, 0 skipped' <<'END'
#!/bin/sh
kill -9 $$
END
exit $bad
