#!/usr/bin/env bash
# Gets the PKCS #11 tokens that `verify` is tested with into `.peers/tokens` of this clone, and writes
# where they are to `.peers/tokens/paths`. Packages of this system are used where they are installed,
# and unpacked beside it where they are not; kryoptic is built from the registry and kept in the
# cache. Needs no root; as root it also starts the daemon of opencryptoki.
#
#   scripts/tokens.sh            gets everything, says what cannot be had, ends with 0
#   CI=true scripts/tokens.sh    the same, but ends with 1 where something that needs no root is missing
set -uo pipefail
cd "$(dirname "$0")/.."

readonly KRYOPTIC=1.5.4
readonly TOKENS="$PWD/.peers/tokens"
readonly CACHE="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/keytrail/peers"
readonly ROOT="$TOKENS/debian"
mkdir -p "$TOKENS" "$CACHE"
missing=()
# shellcheck source=scripts/debian.sh
source scripts/debian.sh

say() { printf 'tokens: %s\n' "$*" >&2; }

# A token that cannot be had: its tests skip themselves, loudly.
lacks() {
    missing+=("$1")
    say "MISSING $1: $2"
}

# Unpacks packages, with what they need and this system lacks, below `.peers/tokens/debian`.
unpack() {
    local names name deb
    apt_of_our_own || return 1
    names=$(apt-get "${APT[@]}" install --simulate --no-install-recommends "$@" 2>/dev/null \
        | awk '$1 == "Inst" { print $2 }')
    [[ -n "$names" ]] || return 1
    # shellcheck disable=SC2086 # one word a package
    download $names || return 1
    mkdir -p "$ROOT"
    for name in $names; do
        deb=$(deb_of "$name")
        [[ -n "$deb" ]] && dpkg-deb --extract "$deb" "$ROOT" || return 1
    done
}

# The first of some paths that is there, in the system or unpacked.
find_file() {
    local path
    for path in "$@"; do
        [[ -f "$path" ]] && { echo "$path"; return; }
    done
    for path in "$@"; do
        [[ -f "$ROOT$path" ]] && { echo "$ROOT$path"; return; }
    done
    return 1
}

# A program that was unpacked finds its libraries through a launcher beside it.
launcher() {
    local program=$1 libraries
    [[ "$program" == "$ROOT"* ]] || { echo "$program"; return; }
    libraries=$(find "$ROOT" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
    mkdir -p "$TOKENS/bin"
    printf '#!/bin/sh\nexport LD_LIBRARY_PATH="%s"\nexec "%s" "$@"\n' "$libraries" "$program" \
        >"$TOKENS/bin/${program##*/}"
    chmod +x "$TOKENS/bin/${program##*/}"
    echo "$TOKENS/bin/${program##*/}"
}

# have NAME KIND PACKAGE PATH…: writes down where a module or a program is.
have() {
    local name=$1 kind=$2 package=$3 path
    shift 3
    path=$(find_file "$@") || { unpack "$package" && path=$(find_file "$@"); } \
        || { lacks "$name" "the package $package cannot be had"; return 1; }
    [[ "$kind" == program ]] && path=$(launcher "$path")
    echo "$name=$path" >>"$TOKENS/paths.new"
}

readonly LIB="/usr/lib/$(uname -m)-linux-gnu"

# kryoptic against the system's OpenSSL, with as few features as the tests need.
kryoptic() {
    local built="$CACHE/kryoptic-$KRYOPTIC/libkryoptic_pkcs11.so" source="$CACHE/kryoptic-$KRYOPTIC/source"
    if [[ ! -f "$built" ]]; then
        command -v cargo >/dev/null || { lacks kryoptic "cargo is not installed"; return; }
        say "building kryoptic $KRYOPTIC, once: some minutes"
        mkdir -p "$source" || return
        # cargo fetches and checks the package; a crate that only depends on it names it.
        curl --silent --show-error --fail --location \
            "https://static.crates.io/crates/kryoptic/kryoptic-$KRYOPTIC.crate" \
            | tar xz -C "$source" --strip-components 1 \
            || { lacks kryoptic "its source cannot be fetched"; return; }
        (cd "$source" && CARGO_TARGET_DIR="$CACHE/kryoptic-$KRYOPTIC/target" nice cargo build --quiet \
            --release --locked --no-default-features \
            --features minimal,kryoptic-lib/dynamic,kdf_all) >"$CACHE/kryoptic.log" 2>&1 \
            || { lacks kryoptic "it does not build (libclang, libssl-dev, libsqlite3-dev? see $CACHE/kryoptic.log)"; return; }
        cp "$CACHE/kryoptic-$KRYOPTIC/target/release/libkryoptic_pkcs11.so" "$built"
        rm -rf "$CACHE/kryoptic-$KRYOPTIC/target"
    fi
    chmod go-w "$built"
    echo "kryoptic=$built" >>"$TOKENS/paths.new"
}

# The one token of opencryptoki: its daemon and folders are root's.
opencryptoki() {
    [[ -x /usr/sbin/pkcsslotd ]] || { say "without opencryptoki: it is not installed"; return; }
    ((EUID == 0)) || { say "without opencryptoki: its daemon needs root"; return; }
    if [[ ! -S /var/run/pkcsslotd.socket ]] || ! pgrep -x pkcsslotd >/dev/null; then
        printf 'version opencryptoki-3.1\nslot 3\n{\nstdll = libpkcs11_sw.so\n}\n' \
            >/etc/opencryptoki/opencryptoki.conf
        /usr/sbin/pkcsslotd || { say "without opencryptoki: its daemon does not start"; return; }
        for _ in {1..100}; do
            if /usr/sbin/pkcsconf -s >/dev/null 2>&1; then break; fi
            sleep 0.2
        done
    fi
    if ! /usr/sbin/pkcsconf -t -c 3 2>/dev/null | grep -q 'Label: ocktok'; then
        printf 'ocktok\n' | /usr/sbin/pkcsconf -I -c 3 -S 87654321 >/dev/null
        /usr/sbin/pkcsconf -P -c 3 -S 87654321 -n 76543210
        /usr/sbin/pkcsconf -u -c 3 -S 76543210 -n 12345678
        /usr/sbin/pkcsconf -p -c 3 -U 12345678 -n 123456
    fi
    have opencryptoki module opencryptoki "$LIB/pkcs11/libopencryptoki.so"
}

tpm() {
    have swtpm program swtpm /usr/bin/swtpm && have tpm2 module libtpm2-pkcs11-1 "$LIB/pkcs11/libtpm2_pkcs11.so"
}

rm -f "$TOKENS/paths.new"
have softhsm module libsofthsm2 /usr/lib/softhsm/libsofthsm2.so "$LIB/softhsm/libsofthsm2.so"
have softhsm2-util program softhsm2 /usr/bin/softhsm2-util
have pkcs11-tool program opensc /usr/bin/pkcs11-tool
have pkcs11-spy module opensc-pkcs11 "$LIB/pkcs11/pkcs11-spy.so" "$LIB/pkcs11-spy.so"
have nss module libnss3 "$LIB/libsoftokn3.so" "$LIB/nss/libsoftokn3.so"
have certutil program libnss3-tools /usr/bin/certutil
kryoptic
needed=${#missing[@]}
opencryptoki
tpm
mv "$TOKENS/paths.new" "$TOKENS/paths"
if ((${#missing[@]})); then
    say "tests that need ${missing[*]} will be SKIPPED"
    [[ "${CI:-}" == true ]] && ((needed)) && exit 1
fi
exit 0
