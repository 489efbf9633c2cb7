#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Installs into a folder of its own and uses what lies there as a stranger would: pkg-config, shared and static,
# both libraries. Usage: test_install.sh ROOT BUILD
set -u
root=$1
build=$2
here=$root/tests/integration/install
dest=$(mktemp -d) || exit 1
trap 'rm -rf "$dest"' EXIT
bad=0

fail() {
    echo "FAILED: $*"
    bad=1
}

DESTDIR=$dest meson install -C "$build" --no-rebuild --quiet >"$dest/log" 2>&1 || {
    cat "$dest/log"
    exit 1
}
pc=$(find "$dest" -name skua.pc)
[ -f "$(dirname "${pc:-none}")/skua-exec.pc" ] || fail 'pkg-config files are missing'
libdir=$(dirname "$(dirname "$pc")")
include=$(find "$dest" -type d -path '*/include/skua')
PKG_CONFIG_PATH=$(dirname "$pc")
PKG_CONFIG_SYSROOT_DIR=$dest
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
for kind in libskua.so libskua.a libskua-exec.so libskua-exec.a; do
    [ -f "$libdir/$kind" ] || fail "$kind is not installed"
done
if [ -e "$build/tools/skua" ] && [ ! -x "$(find "$dest" -path '*/bin/skua')" ]; then
    fail 'the command is not installed'
fi

# try NAME PACKAGE SOURCE: builds SOURCE against the shared and the static library, and runs it.
try() {
    # shellcheck disable=SC2046 # flags are words
    cc -std=c11 -Wall -Wextra -Werror "$here/$3" -o "$dest/$1" $(pkg-config --cflags --libs "$2") ||
        fail "$3 does not build with $2, shared"
    # shellcheck disable=SC2046
    cc -std=c11 -Wall -Wextra -Werror "$here/$3" -o "$dest/$1-static" $(pkg-config --cflags "$2") \
        $(pkg-config --static --libs "$2" | sed "s/-l$2\( \|\$\)/-l:lib$2.a /") ||
        fail "$3 does not build with $2, static"
    said=$(LD_LIBRARY_PATH=$libdir "$dest/$1") || fail "$1 (shared) fails: $said"
    again=$("$dest/$1-static") || fail "$1 (static) fails: $again"
    [ "${said:-nothing}" = "$again" ] || fail "$1: \"$said\" shared, \"$again\" static"
    LD_LIBRARY_PATH=$libdir ldd "$dest/$1" | grep -q "$dest.*/lib$2.so" || fail "$1 does not load lib$2.so"
    if ldd "$dest/$1-static" | grep -q 'libskua'; then
        fail "$1-static loads a shared libskua"
    fi
}
try use_skua skua use_skua.c
try use_exec skua-exec use_exec.c

# libskua-exec is for those who want no network: hwloc and the C library, not a socket library.
needed=$(objdump -p "$libdir/libskua-exec.so" | awk '$1 == "NEEDED" { print $2 }')
for library in $needed; do
    case $library in
    libhwloc.so.* | libc.so.* | libm.so.* | libpthread.so.* | ld-linux* | libasan.so.* | libubsan.so.* | libtsan.so.*) ;;
    *) fail "libskua-exec.so needs $library" ;;
    esac
done
if ldd "$libdir/libskua-exec.so" | grep -E 'zmq|sodium|jansson'; then
    fail 'libskua-exec.so loads more than hwloc'
fi

# What is exported is declared, and what is declared is exported.
declared() {
    # The name of an exported function is the first one before a parenthesis after its mark.
    awk '/^SKUA_API/ { text = ""; open = 1 }
         open        { text = text " " $0 }
         open && /\(/ { if (match(text, /skua_[a-z0-9_]+ *\(/)) print substr(text, RSTART, RLENGTH); open = 0 }' "$@" |
        tr -d ' (' | sort -u
}
exported() {
    nm -D --defined-only "$1" | awk '{ print $NF }' | sort -u
}
exported "$libdir/libskua.so" >"$dest/exported"
exported "$libdir/libskua-exec.so" >"$dest/exported-exec"
declared "$include"/*.h >"$dest/declared"
[ -s "$dest/declared" ] || fail 'no header declares a function'
if grep -vE '^skua_[a-z]' "$dest/exported" "$dest/exported-exec"; then
    fail 'these symbols are exported under foreign names'
fi
if comm -23 "$dest/exported" "$dest/declared" | grep .; then
    fail 'these symbols of libskua.so stand in no public header'
fi
if comm -13 "$dest/exported" "$dest/declared" | grep .; then
    fail 'these functions are declared but libskua.so lacks them'
fi
if comm -23 "$dest/exported-exec" "$dest/exported" | grep .; then
    fail 'these symbols of libskua-exec.so are not in libskua.so'
fi

# Every installed header stands alone, in strict C, and in C++ where there is a compiler for it.
for header in "$include"/*.h; do
    name=$(basename "$header")
    printf '#include <skua/%s>\nint skua_probe;\n' "$name" >"$dest/probe.c"
    cc -std=c11 -pedantic-errors -Wall -Wextra -Wundef -Werror -fsyntax-only \
        -I"$(dirname "$include")" "$dest/probe.c" || fail "<skua/$name> does not compile alone"
    if command -v c++ >/dev/null; then
        c++ -x c++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only \
            -I"$(dirname "$include")" "$dest/probe.c" || fail "<skua/$name> does not compile as C++"
    fi
done

[ $bad -eq 0 ] && echo "$(wc -l <"$dest/exported") symbols, $(wc -l <"$dest/exported-exec") of them in libskua-exec"
exit $bad
