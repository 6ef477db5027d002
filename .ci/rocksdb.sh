# Compiles RocksDB once for all cargo profiles, from the sources that the crate librocksdb-sys brings along. Sourced by
# setup.sh; docs/decisions/0005-rocksdb-from-its-crate.md has the figures.
#
# - Left to itself that crate compiles 343 files, and again for each profile. Here they are compiled in groups, as RocksDB's own
#   `make unity.a` does, which reads their headers a few times instead of 343 times, and with the crate's own defines.
# - The result is kept outside the clone, by the crate's version; cargo links it (ROCKSDB_LIB_DIR, ROCKSDB_STATIC).
# - It is a short cut and no more: without it, and where it fails, `cargo build` compiles RocksDB itself.
# shellcheck shell=bash
# repository, cache and say are setup.sh's:
# shellcheck disable=SC2154

rocksdb_groups=8
# What a group takes to compile, at most.
rocksdb_group_mib=2300

# crate_version NAME: as Cargo.lock has it.
crate_version() {
    sed -n "/^name = \"$1\"\$/{n;s/^version = \"\(.*\)\"/\1/p}" "$repository/Cargo.lock"
}

# crate_folder NAME: where its sources are.
crate_folder() {
    cargo metadata --format-version 1 --locked --manifest-path "$repository/Cargo.toml" |
        grep -o "\"manifest_path\":\"[^\"]*/$1-[0-9][^\"/]*/Cargo.toml\"" |
        sed 's/^"manifest_path":"\(.*\)\/Cargo.toml"$/\1/' | head -n 1
}

# As many compilers at once as there are cores, and memory for.
rocksdb_jobs() {
    local cores fitting
    cores=$(nproc)
    fitting=$(($(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024 / rocksdb_group_mib))
    [ "$fitting" -ge 1 ] || fitting=1
    echo $((cores < fitting ? cores : fitting))
}

# compile_rocksdb FOLDER: makes librocksdb.a in it.
compile_rocksdb() {
    local sys lz4 folder=$1
    sys=$(crate_folder librocksdb-sys) && lz4=$(crate_folder lz4-sys) && [ -n "$sys" ] && [ -n "$lz4" ] || return 1
    local flags=(-O2 -w -fPIC -ffunction-sections -fdata-sections -std=c++20 -include cstdint -DNDEBUG -DLZ4=1
        -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION -DOS_LINUX -DROCKSDB_PLATFORM_POSIX -DROCKSDB_LIB_IO_POSIX
        -DROCKSDB_SCHED_GETCPU_PRESENT -DROCKSDB_AUXV_GETAUXVAL_PRESENT -DROCKSDB_FALLOCATE_PRESENT
        -DROCKSDB_RANGESYNC_PRESENT -I"$sys" -I"$sys/rocksdb" -I"$sys/rocksdb/include" -I"$lz4/liblz4/lib")
    # Two may do this at the same time, each in a folder of its own.
    local made
    mkdir -p "$cache" && made=$(mktemp -d "$folder.XXXXXX") || return 1
    # The crate has a build_version.cc of its own.
    tr -d '\r' <"$sys/rocksdb_lib_sources.txt" | grep -v '^util/build_version.cc$' |
        sed 's/.*/#include "&"/' >"$made/sources"
    (
        cd "$made" &&
            split -d -n "l/$rocksdb_groups" --additional-suffix=.cc sources group &&
            cp "$sys/build_version.cc" . &&
            printf '%s\n' ./*.cc | xargs -P "$(rocksdb_jobs)" -I{} "${CXX:-c++}" "${flags[@]}" -c {} -o {}.o &&
            ar crs librocksdb.a ./*.o &&
            rm -f ./*.cc ./*.o sources
    ) && mv -T "$made" "$folder" 2>/dev/null && return
    rm -rf "$made"
    [ -e "$folder/librocksdb.a" ]
}

provide_rocksdb() {
    [ "$(uname -s)" = Linux ] && [ -z "${ROCKSDB_LIB_DIR:-}" ] || return 0
    local folder
    folder=$cache/rocksdb-$(crate_version librocksdb-sys)
    if [ ! -e "$folder/librocksdb.a" ]; then
        say "compiling RocksDB, once: some 6 minutes on 2 cores, less on more"
        rm -rf "$folder"
        if ! compile_rocksdb "$folder"; then
            say "that failed: cargo compiles it, once for each profile, some 15 minutes on 2 cores"
            return 0
        fi
    fi
    export ROCKSDB_LIB_DIR=$folder ROCKSDB_STATIC=1
}
