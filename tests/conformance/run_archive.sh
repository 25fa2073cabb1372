#!/bin/sh
# run_archive.sh RUNNER SOURCE_DIR FOLDER LIST...: unpacks onnx/node-tests.tar.xz of the shared folder into FOLDER, once,
# and runs its tests. Exit code 77, "skipped", where there is no such archive.
set -e
runner=$1 archive=${QUOIN_SHARED:-$2/../shared}/onnx/node-tests.tar.xz folder=$3
shift 3
if ! [ -e "$archive" ]; then
    echo "skipped: $archive is not there (QUOIN_SHARED names another folder)"
    exit 77
fi
if ! [ "$folder/done" -nt "$archive" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    tar -xJf "$archive" -C "$folder"
    touch "$folder/done"
fi
for list; do
    shift
    set -- "$@" --expected "$list"
done
exec "$runner" "$folder" "$@"
