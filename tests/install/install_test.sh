#!/usr/bin/env bash
# install_test.sh shared|static WORK: installs Quoin of that kind into WORK/prefix, moves it away from there, and builds
# and runs a C and a C++ program against it, once by CMake and once by pkg-config alone. From the environment:
#   SOURCE  the repository         BUILD  a finished build of this kind; empty: build it in SIDE
#   CMAKE, CC, CXX  the programs of these names
#   WERROR  of this build, so that ccache finds its objects again
set -euo pipefail
kind=$1 work=$2
model=$SOURCE/examples/tiny-model/quoin-tiny.gguf
export CC CXX

fail() {
    echo "install test ($kind): $1" >&2
    exit 1
}

rm -rf "$work"/{first,prefix,c,cpp,pc}
mkdir -p "$work/pc"
if [ -z "$BUILD" ]; then
    BUILD=$SIDE
    [ "$kind" = shared ] && shared=ON || shared=OFF
    "$CMAKE" -S "$SOURCE" -B "$BUILD" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS="$shared" \
        -DQUOIN_WERROR="$WERROR" -DQUOIN_BUILD_TESTS=OFF >"$work/configure.log" 2>&1 || fail "see $work/configure.log"
    "$CMAKE" --build "$BUILD" -j2 >"$work/build.log" 2>&1 || fail "see $work/build.log"
fi

# An installed folder may be moved: nothing in it may name the place it was installed to.
"$CMAKE" --install "$BUILD" --prefix "$work/first" >"$work/install.log"
mv "$work/first" "$work/prefix"
prefix=$work/prefix
if grep -rIlF -e "$work/first" -e "$BUILD" -e "$SOURCE" "$prefix"; then fail "the files above name a folder of the build"; fi

library=$(find "$prefix" -name 'libquoin.so' -o -name 'libquoin.a' -o -name 'libquoin.dylib')
case $kind:$library in
shared:*.so | shared:*.dylib | static:*.a) ;;
*) fail "found the library '$library'" ;;
esac
libdir=$(dirname "$library")
for file in LICENSE THIRD_PARTY_NOTICES.md; do
    [ -n "$(find "$prefix" -name "$file")" ] || fail "$file is missing"
done

run() { # NAME PROGRAM: it must print a text; it must use this library where the library is shared
    local text
    text=$(env LD_LIBRARY_PATH="$libdir" "$2" "$model") || fail "$1 exited with $?"
    [ "${#text}" -ge 16 ] || fail "$1 printed only '$text'"
    echo "$1: $text"
}

for language in c cpp; do
    if ! { "$CMAKE" -S "$SOURCE/tests/install/$language" -B "$work/$language" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_PREFIX_PATH="$prefix" && "$CMAKE" --build "$work/$language"; } >"$work/$language.log" 2>&1; then
        tail -n 40 "$work/$language.log" | cut -c 1-300
        fail "the $language project does not build with find_package"
    fi
    run "$language by find_package" "$work/$language/consumer"
done

export PKG_CONFIG_PATH=$libdir/pkgconfig
pkg-config --exists --print-errors "quoin >= 0.1" || fail "pkg-config does not find it"
# pkgconf adds up the fields of one name, other readers refuse them or take the last.
repeated=$(sed -n 's/^\([A-Za-z.]*\):.*/\1/p' "$PKG_CONFIG_PATH/quoin.pc" | sort | uniq -d)
[ -z "$repeated" ] || fail "quoin.pc has more than one of: $repeated"
version=$(pkg-config --modversion quoin)
if [[ $library == *.so ]]; then
    # A program starts only with a library that promises to work for it: before 1.0 one of the same minor number.
    [[ $version == 0.* ]] && promise=${version%.*} || promise=${version%%.*}
    soname=$(objdump -p "$library" | sed -n 's/^ *SONAME *//p')
    [ "$soname" = "libquoin.so.$promise" ] || fail "version $version is named '$soname', not libquoin.so.$promise"
fi
flags=$(pkg-config --cflags --libs quoin)
# shellcheck disable=SC2086  # flags are words
"$CC" -std=c99 -Wall -Wextra -pedantic -Werror "$SOURCE/tests/install/c/main.c" -o "$work/pc/c" $flags
run "c by pkg-config" "$work/pc/c"
# shellcheck disable=SC2086
"$CXX" -std=c++17 -Wall -Wextra -pedantic -Werror "$SOURCE/tests/install/cpp/main.cpp" -o "$work/pc/cpp" $flags
run "cpp by pkg-config" "$work/pc/cpp"

# The quoin tool works from where it was installed, without help to find its library.
tool=$(env -u LD_LIBRARY_PATH "$prefix/bin/quoin" generate --model "$model" --prompt "Once upon a time" --tokens 8 \
    --temperature 0 --quiet) || fail "the installed quoin tool exited with $?"
[ -n "$tool" ] || fail "the installed quoin tool printed nothing"
echo "quoin tool: $tool"
