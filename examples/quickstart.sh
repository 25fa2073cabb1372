#!/usr/bin/env bash
# From a fresh Debian 12 to a story: installs what is missing, builds Quoin and lets the default model talk.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=cmake/packages.sh
. cmake/packages.sh

want_build_packages
install_wanted

build=build/quickstart
log=$build.log
mkdir -p "$build"
echo "Building Quoin in $build (some minutes the first time) ..." >&2
# On a terminal one line counts the steps; the whole output goes to the log.
progress() {
    local line
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$log"
        if [ -t 2 ] && [[ $line =~ ^\[[0-9]+/[0-9]+\] ]]; then printf '\r%s  ' "${BASH_REMATCH[0]}" >&2; fi
    done
    if [ -t 2 ]; then printf '\r%20s\r' '' >&2; fi
}
: >"$log"
if ! { cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DQUOIN_BUILD_TESTS=OFF &&
    cmake --build "$build" --target quoin_cli; } 2>&1 | progress; then
    tail -n 30 "$log" >&2
    echo "The build failed; the whole output is in $log." >&2
    exit 1
fi

echo >&2
exec "$build/bin/quoin" generate --tokens 300 --temperature 0.6 --seed "${SEED:-2}" --stats
