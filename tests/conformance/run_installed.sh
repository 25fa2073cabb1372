#!/bin/sh
# run_installed.sh RUNNER FOLDER LIST: runs the tests of an installed package. Exit code 77, "skipped", without it.
if ! [ -d "$2" ]; then
    echo "skipped: $2 is not there; it comes with the package libonnx-testdata"
    exit 77
fi
exec "$1" "$2" --expected "$3"
