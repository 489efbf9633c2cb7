#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Where OpenCL does not work, tests that want it are skipped and say why. Usage: test_cl_trial.sh CL_UNDER CRASHING_DRIVER
set -u
under=$1 crashing=$2 bad=0
ldconfig -p | grep -q libOpenCL.so.1 || { echo "skipped: libOpenCL.so.1 is not installed"; exit 77; }

# expect RC WORDS VARIABLE=VALUE: what cl_under says of a program that would end with 3.
expect() {
    out=$(env "$3" "$under" any /bin/sh -c 'exit 3' 2>&1)
    rc=$?
    case $rc$out in
    "$1"*"$2"*) ;;
    *)
        echo "$3: rc $rc, \"$out\" instead of rc $1 and \"$2\""
        bad=1
        ;;
    esac
}

expect 77 'there is no OpenCL device' OCL_ICD_VENDORS=/nonexistent
expect 77 'the OpenCL driver crashed (signal' "OCL_ICD_VENDORS=$crashing"
# A driver whose compiler fails, as PoCL's does on a CPU that its LLVM does not know. Without PoCL nothing reads this.
if "$under" any /bin/true 2>/dev/null && ls /usr/lib/*/libpocl.so.2* >/dev/null 2>&1; then
    expect 77 "the driver's compiler builds no kernel" POCL_EXTRA_BUILD_FLAGS=-nonsense
    expect 3 '' POCL_DEBUG=
fi
exit $bad
