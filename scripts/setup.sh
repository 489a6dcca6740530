#!/bin/sh
# Sees to what Plimsoll needs beside cargo: a linker, and a Vulkan driver, for which one in software
# will do. With the argument `c++` also to a C++ compiler, which libFuzzer is built with. Says nothing and
# changes nothing if all are there. Root is needed only to install.
set -eu

also=${1:-}

say() { printf 'setup: %s\n' "$*" >&2; }

# Where the Vulkan loader looks for drivers: one JSON file each.
icd_files() {
    find /etc/vulkan/icd.d /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d \
        "${XDG_DATA_HOME:-${HOME:-/nonexistent}/.local/share}/vulkan/icd.d" \
        -name '*.json' 2>/dev/null || true
}

has_loader() {
    { ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null; } | grep -q 'libvulkan\.so\.1' ||
        ls /usr/lib/libvulkan.so.1 /usr/lib/*/libvulkan.so.1 >/dev/null 2>&1
}

# Distributions ship drivers for cards that are not there. One in software always works; of the
# others it is enough to know that there is a card.
has_driver() {
    has_loader || return 1
    [ -z "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] || return 0
    files=$(icd_files)
    case "$files" in
    '') return 1 ;;
    *lvp_icd* | *swiftshader*) return 0 ;;
    esac
    ls /dev/dri/renderD* /dev/nvidia[0-9]* /dev/dxg >/dev/null 2>&1
}

# Whether the C++ compiler that is asked for, if one is, is missing.
lacks_cpp() {
    [ "$also" = c++ ] && ! command -v c++ >/dev/null
}

case "$(uname -s)" in
Linux) ;;
*) # macOS has Metal, Windows has DirectX 12 and WARP, and rustup has seen to a linker on both.
    exit 0
    ;;
esac

command -v cargo >/dev/null || {
    say "cargo is missing. Install Rust with rustup (https://rustup.rs) and try again."
    exit 1
}

packages=
command -v cc >/dev/null || packages="gcc libc6-dev"
lacks_cpp && packages="$packages g++"
has_driver || packages="$packages libvulkan1 mesa-vulkan-drivers"
[ -n "$packages" ] || exit 0

if ! command -v apt-get >/dev/null; then
    command -v cc >/dev/null || say "a C compiler is missing, which cargo links with; install gcc."
    lacks_cpp && say "a C++ compiler is missing, which libFuzzer is built with; install g++."
    has_driver || say "no Vulkan driver was found; one in software is enough:"
    has_driver || say "  Fedora: dnf install vulkan-loader mesa-vulkan-drivers"
    has_driver || say "  Arch:   pacman -S vulkan-icd-loader vulkan-swrast"
    has_driver || say "  Alpine: apk add vulkan-loader mesa-vulkan-swrast"
    exit 1
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        say "missing: $packages. As root: apt-get install $packages"
        exit 1
    }
    as_root=sudo
fi
say "installing $packages"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$as_root apt-get install -y -qq --no-install-recommends $packages >/dev/null
has_driver || {
    say "the driver was installed, but is not where Vulkan looks for it; \`plimsoll adapters\` says more."
    exit 1
}
