# Installs what building and testing need. Sourced by ./run and ./test, from any folder.
#
# - What is there already is left alone; without root and sudo it says what to install and ends.
# - Nothing that a package brings along is started as a service.
# - Build products go to CARGO_TARGET_DIR, outside the clone where that is unset.
# shellcheck shell=bash

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/perdura
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
# shellcheck source=.ci/probes.sh
source "$repository/.ci/probes.sh"
# shellcheck source=.ci/rocksdb.sh
source "$repository/.ci/rocksdb.sh"

say() {
    printf '\033[1m==> %s\033[0m\n' "$*" >&2
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# install_packages PACKAGE…: by apt, all at once, those that are missing.
install_packages() {
    [ $# -gt 0 ] || return 0
    have apt-get || fail "this is no Debian: please install what these packages hold: $*"
    [ "$(id -u)" = 0 ] || have sudo || fail "as root: apt-get install $*"
    say "installing $*"
    as_root apt-get update -qq
    local policy=/usr/sbin/policy-rc.d status=0
    if [ -e "$policy" ]; then
        policy=''
    else
        printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin "$policy"
    fi
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >&2 || status=$?
    [ -z "$policy" ] || as_root rm -f "$policy"
    return "$status"
}

# missing_packages "PACKAGE PROBE…" …: the packages of those probes that fail.
missing_packages() {
    local need package probe
    for need in "$@"; do
        read -r package probe <<<"$need"
        $probe || printf '%s\n' "$package"
    done | sort -u
}

# provide_packages "PACKAGE PROBE…" …: installs what is missing, and tries again.
provide_packages() {
    local packages
    mapfile -t packages < <(missing_packages "$@")
    install_packages "${packages[@]}"
    mapfile -t packages < <(missing_packages "$@")
    [ ${#packages[@]} = 0 ] || fail "these packages are installed, but what they bring does not work: ${packages[*]}"
}

# The oldest Rust that builds this, as Cargo.toml says.
wanted_rust() {
    sed -n 's/^rust-version = "\(.*\)"/\1/p' "$repository/Cargo.toml"
}

rust_is_new_enough() {
    local found
    works cargo --version && works rustc --version || return 1
    found=$(cargo --version | cut -d ' ' -f 2)
    printf '%s\n%s\n' "$(wanted_rust)" "$found" | sort -V -C
}

install_rust() {
    PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    export PATH
    rust_is_new_enough && return
    if works rustup --version; then
        say "updating Rust: this needs $(wanted_rust)"
        rustup toolchain install stable --profile minimal
        export RUSTUP_TOOLCHAIN=stable
    else
        say "installing Rust with rustup"
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
            sh -s -- -y --profile minimal --default-toolchain stable --no-modify-path
    fi
    rust_is_new_enough || fail "cargo is older than $(wanted_rust)"
}

# lock_target_folder MODE: --shared or --exclusive, held until this script ends, and said where it has to wait.
lock_target_folder() {
    have flock || return 0
    flock --nonblock "$1" 9 && return
    say "waiting for another clone that builds in $CARGO_TARGET_DIR, 20 minutes at most"
    # What a test left running may hold the lock for ever.
    flock --timeout 1200 "$1" 9 || say "it is still locked: building all the same"
}

# cargo knows our own crates by their place in the clone, and takes what another clone has built of them since for this one's. So scripts
# of one clone share the folder, and another clone takes it when they have ended. The lock is on file 9; what a script leaves running
# must close that.
take_target_folder() {
    local owner=$CARGO_TARGET_DIR/.clone
    mkdir -p "$CARGO_TARGET_DIR"
    exec 9>>"$CARGO_TARGET_DIR/.lock"
    lock_target_folder --shared
    until [ "$(cat "$owner" 2>/dev/null)" = "$repository" ]; do
        lock_target_folder --exclusive
        find "$CARGO_TARGET_DIR" -maxdepth 4 -path '*/.fingerprint/*' \( -name 'perdura-*' -o -name 'lua-src-*' \) -exec rm -rf {} +
        printf %s "$repository" >"$owner"
        # Between the two locks another clone may come.
        lock_target_folder --shared
    done
}

install_build_tools() {
    provide_packages \
        "build-essential works_in_a_folder compile_and_run_cxx" \
        "make works make --version" \
        "curl works curl --version" \
        "ca-certificates test -e /etc/ssl/certs/ca-certificates.crt" \
        "pkg-config works pkg-config --version" \
        "libclang-dev find_libclang"
    # Once more, in this shell: it exports what it found.
    find_libclang
    install_rust
    provide_rocksdb
    take_target_folder
}

# What tests/apps/run needs beside a build.
install_applications() {
    provide_packages \
        "haproxy works haproxy -v" \
        "nodejs works node --version" \
        "npm works npm --version" \
        "python3 works python3 --version" \
        "python3-venv works python3 -m ensurepip --version" \
        "redis-server works redis-server --version" \
        "ruby-sidekiq works sidekiq --version"
}
