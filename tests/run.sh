#!/usr/bin/env bash
# Builds Quoin and runs every test, as CI does. Installs what is missing.
#
#   tests/run.sh                 everything but tidy and tsan, which take long
#   tests/run.sh --quick         the release build and its tests
#   tests/run.sh PHASE...        some of: release plain asan tsan arm64 format tidy
#
# QUOIN_FUZZ_SECONDS (30)  time for each fuzz target      QUOIN_SHARED  folder of the shared test models
# JOBS (processors)        things done at a time
#
# The last line is "N passed, N failed" over all phases; the exit code is 0 when nothing failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
# shellcheck source=cmake/packages.sh
. cmake/packages.sh

phases=()
for argument in "$@"; do
    case $argument in
    --quick) phases=(release) ;;
    release | plain | asan | tsan | arm64 | format | tidy) phases+=("$argument") ;;
    -h | --help) sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" && exit 0 ;;
    *) echo "tests/run.sh: unknown argument '$argument' (see --help)" >&2 && exit 2 ;;
    esac
done
[ ${#phases[@]} -gt 0 ] || phases=(release plain format arm64 asan)
jobs=${JOBS:-$(nproc)}
# Objects of one clone serve the next: nothing of them depends on where the folder lies.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

# ---- Packages

fuzzer_runtime() { [ -e "$(clang++ -print-file-name="libclang_rt.fuzzer-$(uname -m).a")" ]; }

want_build_packages
want catch2 "the test framework" sh -c 'pkg-config --exists catch2 || pkg-config --exists catch2-with-main'
want python3 "tests of the structure" has_command python3
want python3-numpy "makes large models for tests" sh -c "python3 -c 'import numpy' || /usr/bin/python3 -c 'import numpy'"
want libonnx-testdata "tests of ONNX operators" test -d /usr/share/libonnx-testdata/data
want xz-utils "unpacks more of them" has_command xz
want ccache "keeps objects between builds" has_command ccache
for phase in "${phases[@]}"; do
    case $phase in
    asan)
        want clang "the compiler of the sanitized tests and the fuzz targets" has_command clang++
        want libclang-rt-dev "libFuzzer" fuzzer_runtime
        want llvm "names of functions in sanitizer reports" has_command llvm-symbolizer
        ;;
    arm64)
        want g++-aarch64-linux-gnu "the cross compiler for 64-bit Arm" has_command aarch64-linux-gnu-g++
        want qemu-user "runs programs for other processors" has_command qemu-aarch64
        ;;
    format) want clang-format "the format check" has_command clang-format ;;
    tidy) want clang-tidy "static analysis" has_command run-clang-tidy ;;
    esac
done
install_wanted || {
    echo "0 passed, 1 failed"
    exit 1
}

# ---- Phases: each adds to these

passed=0 failed=0 skipped=0
failures=() times=()

fail() {
    failed=$((failed + 1))
    failures+=("$1")
}

build() { # PRESET [CMAKE_OPTION...]
    local log=build/$1.log
    if ! cmake --preset "$@" >"$log" 2>&1 || ! cmake --build "build/$1" -j "$jobs" >>"$log" 2>&1; then
        grep -E -A12 'error|CMake Error|FAILED' "$log" | head -n 60
        fail "$1: the build; the whole output is in $log"
        return 1
    fi
}

attribute() { # NAME JUNIT_FILE: a number of its <testsuite>
    sed -n "/<testsuite/,/>/s/.*[[:space:]]$1=\"\([0-9]*\)\".*/\1/p" "$2" | head -n 1
}

run_tests() { # PRESET [CTEST_OPTION...]: adds what CTest counted
    local preset=$1 junit=$PWD/build/$1/tests.xml all bad idle
    shift
    rm -f "$junit"
    "${without_randomised_addresses[@]}" ctest --preset "$preset" -j "$jobs" --output-junit "$junit" "$@"
    if ! [ -s "$junit" ]; then
        fail "$preset: ctest found no tests"
        return
    fi
    all=$(attribute tests "$junit") bad=$(attribute failures "$junit")
    idle=$(($(attribute skipped "$junit") + $(attribute disabled "$junit")))
    passed=$((passed + all - bad - idle)) failed=$((failed + bad)) skipped=$((skipped + idle))
    [ "$bad" -eq 0 ] || failures+=("$preset: $bad of $all tests; again with: ctest --preset $preset --rerun-failed")
}

# ThreadSanitizer of GCC 12 does not know the address layout of newer kernels.
without_randomised_addresses=()

# With the benchmarks where Google Benchmark is installed: nothing runs them, but they stay in step with the kernels.
phase_release() {
    local options=()
    [ ! -e /usr/include/benchmark/benchmark.h ] || options+=(-DQUOIN_BUILD_BENCHES=ON)
    build release "${options[@]}" && run_tests release
}
# Without the libraries that are not needed.
phase_plain() { build plain && run_tests plain -L "unit|conformance|models|install" -E "install: static"; }
phase_asan() { build asan && run_tests asan; }
phase_tsan() {
    build tsan || return
    if setarch "$(uname -m)" -R true 2>/dev/null; then
        without_randomised_addresses=(setarch "$(uname -m)" -R)
    fi
    run_tests tsan
    without_randomised_addresses=()
}
phase_arm64() { build arm64 && run_tests arm64; }

sources() { # PATTERN...: files of the repository in the folders with C and C++
    local names=()
    for pattern in "$@"; do names+=(-o -name "$pattern"); done
    find src capi include examples tests bench -type f \( "${names[@]:1}" \) | sort
}

phase_format() {
    if sources '*.h' '*.hpp' '*.c' '*.cpp' '*.inc' '*.inl' | xargs clang-format --dry-run -Werror >build/format.log 2>&1; then
        passed=$((passed + 1))
    else
        sed -n 's/^\([^: ]*\):[0-9]*:[0-9]*: .*/\1/p' build/format.log | sort -u
        fail "format: the files above (clang-format -i mends them); all of it is in build/format.log"
    fi
}

phase_tidy() {
    # It wants to know how each file is compiled; the release build says so.
    [ -e build/release/compile_commands.json ] || cmake --preset release >build/release.log 2>&1 || {
        fail "tidy: CMake; the output is in build/release.log"
        return
    }
    if run-clang-tidy -quiet -p build/release -j "$jobs" -extra-arg=-Wno-unknown-warning-option \
        "^$PWD/(src|capi|examples)/" >build/tidy.log 2>/dev/null; then
        passed=$((passed + 1))
    else
        grep -E '(warning|error): ' build/tidy.log | sort -u | head -n 100
        fail "tidy: the lines above; all of it is in build/tidy.log"
    fi
}

mkdir -p build
for phase in "${phases[@]}"; do
    printf '\n==== %s\n' "$phase"
    started=$SECONDS
    "phase_$phase"
    times+=("$phase $((SECONDS - started)) s")
done

printf '\n==== summary\n'
printf '%s\n' "${times[@]}"
for failure in "${failures[@]}"; do echo "FAILED  $failure"; done
[ "$skipped" -eq 0 ] || echo "$skipped skipped: what they need is not on this machine"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
