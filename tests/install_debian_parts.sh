#!/usr/bin/env bash
# Installs what the tests need from Debian, where this is Debian and we are root; else tells what tests will skip.
set -euo pipefail
programs=(qemu-aarch64 mmdebstrap clang-19 ld.lld-19 llvm-objdump-19 valgrind javac cmake chromium)
packages=(qemu-user mmdebstrap clang-19 lld-19 libclang-rt-19-dev llvm-19 valgrind openjdk-17-jdk-headless cmake chromium)

missing=()
for program in "${programs[@]}"; do
    command -v "$program" > /dev/null || missing+=("$program")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "not installed: ${missing[*]}; tests that need them skip. As root on Debian: $0" >&2
    exit 0
fi
echo "installing ${packages[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq > /dev/null || true
apt-get install -y -qq --no-install-recommends "${packages[@]}" > /dev/null ||
    echo "could not install all of ${packages[*]}; tests that need them skip" >&2
