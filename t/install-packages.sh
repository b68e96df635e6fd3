#!/bin/bash
# Installs, through apt, the Debian packages that a part of the work needs and that are not there yet:
#     t/install-packages.sh [build|run|test|memcheck|lint|bench|fuzz]...      (all of them when none is named)
# Does nothing, and touches no network, when everything is there. Never starts or enables a service, and never
# removes or upgrades a package that is not in the way.
set -euo pipefail

# A package that another may stand in for is written wanted|other.
build=(gcc libc6-dev make pkgconf apache2-dev "libcurl4-openssl-dev|libcurl4-gnutls-dev" libcjson-dev)
run=("${build[@]}" apache2-bin libaprutil1-dbd-sqlite3 ca-certificates libmojolicious-perl libev-perl php-fpm sqlite3)
test=("${run[@]}" libapache2-mod-perl2 libwww-perl netbase curl openssl libcmocka-dev
      chromium chromium-driver python3-selenium libio-socket-ssl-perl)
memcheck=("${test[@]}" valgrind)
bench=("${build[@]}" apache2-bin wrk nginx libnginx-mod-http-lua libnginx-mod-http-js libapache2-mod-php php-fpm php-curl
       libapache2-mod-perl2 libio-socket-ssl-perl lua-socket lua-sec valgrind libev-perl openssl)
fuzz=("${build[@]}" clang libclang-rt-dev llvm)
lint=("${build[@]}" libcmocka-dev clang clang-tidy clang-format cppcheck shellcheck)

wanted_for() {
    local group
    for group; do
        case $group in
            build) printf "%s\n" "${build[@]}" ;;
            run)   printf "%s\n" "${run[@]}" ;;
            test)  printf "%s\n" "${test[@]}" ;;
            lint)  printf "%s\n" "${lint[@]}" ;;
            memcheck) printf "%s\n" "${memcheck[@]}" ;;
            bench) printf "%s\n" "${bench[@]}" ;;
            fuzz)  printf "%s\n" "${fuzz[@]}" ;;
            *)     echo "usage: $0 [build|run|test|memcheck|lint|bench|fuzz]..." >&2; return 2 ;;
        esac
    done
}

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing_of() {
    local package
    for package; do
        is_installed "${package%%|*}" || is_installed "${package##*|}" || echo "${package%%|*}"
    done
}

# Packages start their services through invoke-rc.d, which asks policy-rc.d first.
forbid_services() {
    [ ! -e /usr/sbin/policy-rc.d ] || return 0
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
}

# Tests and bench run their own servers: the system's are not to come up at the next boot because of them.
disable_new_service() {
    local fpm
    command -v systemctl >/dev/null || return 0
    case " $* " in *" nginx "*) systemctl disable --quiet nginx.service || true ;; esac
    case " $* " in *" php-fpm "*) ;; *) return 0 ;; esac
    for fpm in /usr/sbin/php-fpm[0-9]*; do
        systemctl disable --quiet "php${fpm##*/php-fpm}-fpm.service" || true
    done
}

# What apt says about hundreds of packages is of interest only where it fails.
quietly() {
    local said
    said=$("$@" 2>&1) || { printf '%s\n' "$said" >&2; return 1; }
}

install_as_root() {
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0)
    forbid_services
    quietly "${apt[@]}" update
    quietly "${apt[@]}" install -y --no-install-recommends "$@"
    disable_new_service "$@"
}

[ $# -gt 0 ] || set -- build run test memcheck lint bench fuzz
list=$(wanted_for "$@")
mapfile -t wanted < <(sort -u <<<"$list")

if ! command -v apt-get >/dev/null; then
    echo "This is not a Debian: please see to it that the counterparts of these are installed: ${wanted[*]}" >&2
    exit 0
fi
mapfile -t missing < <(missing_of "${wanted[@]}")
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    groups="$*"
    echo "Installing what is missing to ${groups// / and }: ${missing[*]}"
    install_as_root "${missing[@]}"
elif command -v sudo >/dev/null; then
    echo "Some packages are missing; sudo is asked to install them."
    sudo -- "$0" "$@"
else
    echo "Packages are missing, and there is no sudo. As root: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
