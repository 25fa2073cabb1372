#!/usr/bin/env bash
# The public headers alone, in every language mode of every compiler that is here, without a warning.
#     header_matrix.sh INCLUDE_FOLDER
set -u
include=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
checked=0
failed=0

# The macros are used, too: a warning in an expansion is the user's to see.
cat >"$work/header.c" <<'END'
#include <quoin/quoin.h>
#include <quoin/quoin.h>
#if QUOIN_VERSION < 1
#error "QUOIN_VERSION must work in the preprocessor"
#endif
size_t quoin_header_test(quoin_model_options* options);
size_t quoin_header_test(quoin_model_options* options) {
    options->provider = "native";
    options->provider_length = QUOIN_STRLEN;
    return options->mmap_mode == QUOIN_MMAP_NEVER ? sizeof(quoin_status) : 0;
}
END
cp "$work/header.c" "$work/header.cpp"
cat >"$work/wrapper.cpp" <<'END'
#include <quoin/quoin.hpp>
#include <quoin/quoin.hpp>
// Every template that has a callback.
void quoin_header_test();
void quoin_header_test() {
    quoin::ModelOptions options;
    auto show = [](double) {};
    const quoin::Progress<decltype(show)> progress(show, options);
    const quoin::Model model = quoin::Model::load_file("model.gguf", options);
    (void)quoin::Model::load_reader(1, [](uint64_t, void*, size_t) { return true; });
    model.describe(QUOIN_DESCRIBE_TENSORS, QUOIN_FORMAT_TEXT, [](std::string_view) {});
    quoin::Sequence sequence{quoin::Context(model)};
    (void)sequence.generate([](const quoin_piece& piece) { return quoin::text(piece).empty(); });
    quoin::set_log(QUOIN_LOG_OFF, nullptr);
}
END

# try COMPILER LANGUAGE STANDARD FILE [FLAG...]: one combination; modes that the compiler does not know do not count.
try() {
    local compiler=$1 language=$2 standard=$3 file=$4
    shift 4
    echo "" | "$compiler" -std="$standard" -x "$language" -fsyntax-only - 2>"$work/mode" || return 0
    checked=$((checked + 1))
    if ! "$compiler" -std="$standard" -x "$language" -Wall -Wextra -pedantic -Werror -Wshadow -Wconversion -Wundef "$@" \
        -I"$include" -fsyntax-only "$file" 2>"$work/errors"; then
        failed=$((failed + 1))
        echo "$compiler -std=$standard: $(basename "$file")"
        cat "$work/errors"
    fi
}

for compiler in gcc clang ${CC:-}; do
    command -v "$compiler" >/dev/null || continue
    for standard in c99 c11 c17 c2x c23; do
        try "$compiler" c "$standard" "$work/header.c" -Wstrict-prototypes
        try "$compiler" c "$standard" "$work/header.c" -DQUOIN_STATIC
    done
done
for compiler in g++ clang++ ${CXX:-}; do
    command -v "$compiler" >/dev/null || continue
    for standard in c++98 c++11 c++14 c++17 c++20 c++2b; do
        try "$compiler" c++ "$standard" "$work/header.cpp" -Wold-style-cast
    done
    for standard in c++17 c++20 c++2b; do
        try "$compiler" c++ "$standard" "$work/wrapper.cpp" -Wold-style-cast
    done
done

echo "$checked combinations, $failed failed"
# Without a compiler nothing was shown.
[ "$checked" -gt 0 ] && [ "$failed" -eq 0 ]
