# Tries the tools that a build needs, in place of guessing from file names. Sourced by setup.sh.
#
# - A compiler works if it makes a program that runs; a libclang works if it parses a header with its own includes.
# - What a probe proved is what the build uses: the libclang that passed goes into LIBCLANG_PATH, which bindgen tries first.
# shellcheck shell=bash

# works COMMAND…: whether it runs and exits with 0.
works() {
    "$@" >/dev/null 2>&1
}

# works_in_a_folder FUNCTION: runs it in a fresh folder, which is removed after it.
works_in_a_folder() {
    local folder status=0
    folder=$(mktemp -d) || return 1
    (cd "$folder" && "$@") >/dev/null 2>&1 || status=$?
    rm -rf "$folder"
    return "$status"
}

compile_and_run_cxx() {
    printf '#include <cstdio>\n#include <string>\nint main() { return std::puts(std::string("works").c_str()) < 0; }\n' >probe.cc &&
        "${CC:-cc}" -x c -c /dev/null -o empty.o && "${CXX:-c++}" -std=c++20 probe.cc empty.o -o probe && ./probe
}

# The files that bindgen would try, in its order: clang-sys 1.8, build/dynamic.rs and build/common.rs.
libclang_candidates() {
    local folder file
    if [ -n "${LIBCLANG_PATH:-}" ] && [ -f "$LIBCLANG_PATH" ]; then
        printf '%s\n' "$LIBCLANG_PATH"
    fi
    for folder in "${LIBCLANG_PATH:-}" "$(llvm-config --libdir 2>/dev/null)" \
        /usr/local/llvm*/lib* /usr/local/lib*/*/* /usr/local/lib*/* /usr/local/lib* \
        /usr/lib/llvm-*/lib /usr/lib*/*/* /usr/lib*/* /usr/lib*; do
        [ -n "$folder" ] && [ -d "$folder" ] || continue
        for file in "$folder"/libclang.so "$folder"/libclang-[0-9]*.so "$folder"/libclang.so.* "$folder"/libclang-[0-9]*.so.*; do
            [ ! -f "$file" ] || printf '%s\n' "$file"
        done
    done
}

# find_libclang: exports the first libclang that parses RocksDB's kind of header as LIBCLANG_PATH.
find_libclang() {
    local probe status=1 file
    probe=$(mktemp -d) || return 1
    if "${CC:-cc}" "$repository/.ci/libclang_probe.c" -ldl -o "$probe/probe" 2>/dev/null; then
        while read -r file; do
            if works "$probe/probe" "$file"; then
                export LIBCLANG_PATH=$file
                status=0
                break
            fi
        done < <(libclang_candidates)
    fi
    rm -rf "$probe"
    return "$status"
}
