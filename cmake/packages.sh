# Sourced by examples/quickstart.sh and tests/run.sh: installs Debian packages that are missing.
# shellcheck shell=bash

wanted_packages=()

# want PACKAGE WHY PROBE...: PACKAGE is missing when the command PROBE fails. It is then installed by install_wanted.
want() {
    local package=$1 why=$2
    shift 2
    "$@" >/dev/null 2>&1 && return
    [ ${#wanted_packages[@]} -gt 0 ] || echo "Missing on this machine:" >&2
    printf '  %-20s %s\n' "$package" "$why" >&2
    wanted_packages+=("$package")
}

has_command() { command -v "$1"; }

# Installs what want() found missing, or says what to do and gives 1.
install_wanted() {
    [ ${#wanted_packages[@]} -gt 0 ] || return 0
    local list="${wanted_packages[*]}" as_root=()
    if ! command -v apt-get >/dev/null; then
        echo "This machine has no apt-get. Please install the packages above, under the names they have here," >&2
        echo "and start this again." >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "Installing packages needs root, and there is no sudo. Please run as root:" >&2
            echo "    apt-get update && apt-get install -y $list" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    echo "Installing them with apt-get ..." >&2
    local log
    log=$(mktemp)
    if ! { "${as_root[@]}" apt-get update && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${wanted_packages[@]}"; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        echo "apt-get could not install them (the whole log: $log). Is there a network, and a Debian 12 or later?" >&2
        return 1
    fi
    rm -f "$log"
    wanted_packages=()
}

# What the library itself and the quoin tool need.
want_build_packages() {
    want g++ "the C++ compiler" has_command g++
    want cmake "the build system" has_command cmake
    want ninja-build "runs the build" has_command ninja
    want pkg-config "finds the libraries below" has_command pkg-config
    want libpcre2-dev "regular expressions of tokenizers" pkg-config --exists libpcre2-8
    want libprotozero-dev "reads ONNX files" test -f /usr/include/protozero/pbf_reader.hpp
    want libdnnl-dev "convolutions, products of matrices, recurrent cells" test -f /usr/include/dnnl.hpp
    want libeigen3-dev "the same where nothing faster takes them" pkg-config --exists eigen3
    want libjpeg-dev "pictures for ImageDecoder of ONNX" pkg-config --exists libjpeg
    want libpng-dev "the same" pkg-config --exists libpng
    want libopenjp2-7-dev "the same" pkg-config --exists libopenjp2
    want libtiff-dev "the same" pkg-config --exists libtiff-4
    want libwebp-dev "the same" pkg-config --exists libwebp
    want nlohmann-json3-dev "JSON, in descriptions of models" pkg-config --exists nlohmann_json
}
