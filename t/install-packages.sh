#!/bin/bash
# Installs, through apt, the Debian packages that a part of the work needs and that are not there yet:
#     t/install-packages.sh [build|run|test|memcheck|lint|bench|fuzz]...      (all of them when none is named)
# Does nothing, and touches no network, when everything is there. Never starts or enables a service, never changes which
# modules a system's own httpd loads, and never removes or upgrades a package that is not in the way.
set -euo pipefail

# A package that another may stand in for is written wanted|other.
build=(gcc libc6-dev make pkgconf apache2-dev "libcurl4-openssl-dev|libcurl4-gnutls-dev" libcjson-dev)
run=("${build[@]}" apache2-bin libaprutil1-dbd-sqlite3 ca-certificates libmojolicious-perl libev-perl php-fpm sqlite3)
test=("${run[@]}" libapache2-mod-perl2 libwww-perl netbase curl openssl libcmocka-dev
      chromium chromium-driver python3-selenium libio-socket-ssl-perl)
memcheck=("${test[@]}" valgrind)
bench=("${build[@]}" apache2-bin wrk nginx libnginx-mod-http-lua libnginx-mod-http-js php-fpm php-curl
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

# libapache2-mod-perl2 switches itself on in an httpd that the system has, now and at each upgrade, unless its admin has
# switched it off: then that is what we say. (a2enmod knows the file; `a2enmod perl` is not hindered by it.)
leave_httpd_alone() {
    local marks=/var/lib/apache2/module
    case " $* " in *" libapache2-mod-perl2 "*) ;; *) return 0 ;; esac
    if command -v a2query >/dev/null && ! a2query -q -m perl; then
        mkdir -p "$marks/disabled_by_admin"
        touch "$marks/disabled_by_admin/perl"
    fi
}

install_as_root() {
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0)
    forbid_services
    leave_httpd_alone "$@"
    quietly "${apt[@]}" update
    quietly "${apt[@]}" install -y --no-install-recommends "$@"
    disable_new_service "$@"
}

# mod_php, for the bench alone. Its package would switch a system's own httpd to prefork, now and at each upgrade, so it
# is not installed: the module is taken out of it, and PHP-FPM has brought the libraries. The bench finds it in build/.
fetch_mod_php() {
    local modules=build/modules found package room
    case " $* " in *" bench "*) ;; *) return 0 ;; esac
    for found in "$modules"/libphp*.so /usr/lib/apache2/modules/libphp*.so; do
        [ ! -e "$found" ] || return 0
    done
    package=$(apt-cache depends libapache2-mod-php | sed -n 's/^ *Depends: *\(libapache2-mod-php[0-9.]*\)$/\1/p' | head -n 1)
    room=$(mktemp -d)
    chmod 755 "$room" # apt's own user downloads
    if (cd "$room" && quietly apt-get -qq download "${package:-libapache2-mod-php}" && dpkg-deb -x ./*.deb .); then
        mkdir -p "$modules"
        cp "$room"/usr/lib/apache2/modules/libphp*.so "$modules/"
        [ "$(id -u)" -ne 0 ] || chown -R --reference=. build
    else
        echo "mod_php could not be fetched: the bench does without." >&2
    fi
    rm -rf "$room"
}

[ $# -gt 0 ] || set -- build run test memcheck lint bench fuzz
list=$(wanted_for "$@")
mapfile -t wanted < <(sort -u <<<"$list")

if ! command -v apt-get >/dev/null; then
    echo "This is not a Debian: please see to it that the counterparts of these are installed: ${wanted[*]}" >&2
    exit 0
fi
mapfile -t missing < <(missing_of "${wanted[@]}")
if [ ${#missing[@]} -eq 0 ]; then
    :
elif [ "$(id -u)" -eq 0 ]; then
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
cd "$(dirname "${BASH_SOURCE[0]}")/.."
fetch_mod_php "$@"
