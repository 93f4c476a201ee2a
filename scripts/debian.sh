# Debian packages unpacked without root: read by the scripts that get peers, which set CACHE.

# Points APT at lists and archives of our own: the system's may be empty or old, and are root's.
apt_of_our_own() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    mkdir -p "$CACHE/apt/lists/partial" "$CACHE/debs/partial"
    APT=(-q -o "Dir::State::Lists=$CACHE/apt/lists" -o "Dir::Cache=$CACHE/apt"
         -o "Dir::Cache::Archives=$CACHE/debs" -o Debug::NoLocking=1 -o APT::Sandbox::User=)
    local stamp="$CACHE/apt/updated"
    # Lists of the last hours will do.
    [[ -n "$(find "$stamp" -mmin -360 2>/dev/null)" ]] && return
    apt-get "${APT[@]}" update >"$CACHE/apt/update.log" 2>&1 && touch "$stamp"
}

# Downloads packages into the cache; those there already are not fetched again.
download() {
    (cd "$CACHE/debs" && apt-get "${APT[@]}" download "$@" >"$CACHE/apt/download.log" 2>&1)
}

# The file of a downloaded package.
deb_of() {
    find "$CACHE/debs" -maxdepth 1 -name "${1%%:*}_*.deb" | sort -V | tail -n 1
}
