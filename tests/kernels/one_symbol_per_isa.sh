#!/bin/sh
# Every per-ISA object must define exactly one global symbol, its table of kernels or encoders, and no weak one: a weak
# function would be merged by the linker, and a copy compiled for AVX-512 could then run on a machine without it.
# Usage: one_symbol_per_isa.sh OBJECT... (QUOIN_KERNEL_OBJECTS and QUOIN_ENCODER_OBJECTS)
set -u
[ "$#" -gt 0 ] || { echo "usage: $0 OBJECT..." >&2; exit 2; }
failed=0
for object in "$@"; do
    symbols=$("${NM:-nm}" --defined-only --extern-only "$object") || exit 2
    tables=$(printf '%s\n' "$symbols" | grep -c ' [DRB] .*\(kernel\|encoder\)_table_')
    others=$(printf '%s\n' "$symbols" | grep -v ' [DRB] .*\(kernel\|encoder\)_table_' | grep -v '^$')
    if [ "$tables" -ne 1 ] || [ -n "$others" ]; then
        echo "$object: wants one table and nothing else, has:" >&2
        printf '%s\n' "$symbols" >&2
        failed=1
    fi
done
exit $failed
