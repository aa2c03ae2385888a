#!/usr/bin/env bash
# Installs the command wharf with its manual pages and the completions of bash, zsh and fish.
#
#     ./install.sh                     under /usr/local as root, under ~/.local as anyone else
#     ./install.sh --prefix DIR        under DIR
#     ./install.sh --binary FILE       this build instead of one made now
#     ./install.sh --remove            takes away what the above put there
set -euo pipefail

usage() {
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit "$1"
}

prefix=$([ "$(id -u)" -eq 0 ] && echo /usr/local || echo "$HOME/.local")
binary=
remove=
while [ $# -gt 0 ]; do
    case $1 in
    --prefix) prefix=${2:?--prefix wants a folder} && shift 2 ;;
    --binary) binary=$(realpath "${2:?--binary wants a file}") && shift 2 ;;
    --remove) remove=yes && shift ;;
    -h | --help) usage 0 ;;
    *) usage 2 >&2 ;;
    esac
done

man=$prefix/share/man/man1
bash=$prefix/share/bash-completion/completions/wharf
zsh=$prefix/share/zsh/site-functions/_wharf
fish=$prefix/share/fish/vendor_completions.d/wharf.fish

if [ -n "$remove" ]; then
    rm -f "$prefix/bin/wharf" "$man/wharf.1" "$man"/wharf-*.1 "$bash" "$zsh" "$fish"
    echo "removed from $prefix"
    exit
fi

if [ -z "$binary" ]; then
    cd "$(dirname "$0")"
    cargo build --release --locked --package wharf-cli --bin wharf
    binary=$(realpath "${CARGO_TARGET_DIR:-target}")/release/wharf
fi
install -D -m 755 "$binary" "$prefix/bin/wharf"
"$binary" --config none man --to "$man"
for shell in bash zsh fish; do
    mkdir -p "$(dirname "${!shell}")"
    "$binary" --config none completions $shell >"${!shell}"
done
echo "installed: $prefix/bin/wharf (man wharf; completions for bash, zsh and fish)"
