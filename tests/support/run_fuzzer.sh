#!/bin/sh
# run_fuzzer.sh TARGET CORPUS FIXED_CASES [SEED_PROGRAM]: runs a fuzz target for QUOIN_FUZZ_SECONDS (30).
# First the inputs that once went wrong, then on from the corpus, which is kept in the build folder. An input that goes
# wrong is left in CORPUS.failed: mend the cause and copy it to FIXED_CASES.
set -eu
target=$1 corpus=$2 fixed=$3 seeds=${4:-}

mkdir -p "$corpus" "$corpus.failed"
if [ -n "$seeds" ]; then "$seeds" "$corpus"; fi
if [ -d "$fixed" ] && [ -n "$(ls -A "$fixed")" ]; then
    "$target" "$fixed"/*
    exec_corpora="$corpus $fixed"
else
    exec_corpora=$corpus
fi
# shellcheck disable=SC2086  # two folders
exec "$target" -max_total_time="${QUOIN_FUZZ_SECONDS:-30}" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024 \
    -max_len=65536 -entropic=0 -artifact_prefix="$corpus.failed/" -print_final_stats=1 -verbosity=0 $exec_corpora
