#!/usr/bin/env bash
# Tests everything there is, on a fresh Debian with Rust as on a developer's machine, as root or as an ordinary user:
#
#     ./test.sh                 all of it; installs what is missing first
#     ./test.sh interop fuzz    only these steps
#
# A failing step does not keep the others from running. Each step's output is in target/test-logs/; the end of a failed
# one's is shown. The exit status is 0 only if all passed.
set -euo pipefail
cd "$(dirname "$0")"

# Seconds of fuzzing, shared by all targets.
FUZZ_SECONDS=${FUZZ_SECONDS:-60}
ALL_STEPS=(format layers named_tests rfc_map no_std clippy features doc unit packetdrill loom fuzz ir matrix build interop)

die() {
    printf '%s\n' "$@" >&2
    exit 1
}

# --- what the tests need ---------------------------------------------------------------------------------------------

# Debian keeps daemons where an ordinary user's path does not lead.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# What is looked for, a program or a file, and its package.
NEEDED=(
    cc:gcc ip:iproute2 unshare:util-linux mount:mount
    valgrind:valgrind
    nginx:nginx-light dnsmasq:dnsmasq-base udhcpd:udhcpd curl:curl ping:iputils-ping strace:strace tshark:tshark
    unbound:unbound named:bind9 dnssec-signzone:bind9-utils knotd:knot openssl:openssl
    nghttpd:nghttp2-server caddy:caddy tinyproxy:tinyproxy-bin microsocks:microsocks
    python3:python3 /usr/lib/python3/dist-packages/websockets:python3-websockets
    sshd:openssh-server sftp:openssh-client
)

install_what_is_missing() {
    command -v cargo >/dev/null || die "cargo is missing. Install Rust: https://rustup.rs"
    local need missing=()
    for need in "${NEEDED[@]}"; do
        command -v "${need%%:*}" >/dev/null || [ -d "${need%%:*}" ] || missing+=("${need#*:}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    local by_hand="Install these packages and run ./test.sh again: ${missing[*]}"
    command -v apt-get >/dev/null || die "The tests need programs that are not here, and there is no apt-get." "$by_hand"
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "The tests need programs that are not here, and there is no sudo." "$by_hand"
        sudo=(sudo)
    fi
    echo "installing: ${missing[*]}"
    # Newer Debians have only one build of nginx.
    apt-cache show nginx-light >/dev/null 2>&1 || missing=("${missing[@]/nginx-light/nginx}")
    # The daemons are for the tests' own namespaces: none is started as this machine's.
    local policy=/usr/sbin/policy-rc.d
    if [ -e $policy ]; then
        policy=
    else
        printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" install -m 755 /dev/stdin $policy
        # shellcheck disable=SC2064 # as it is now
        trap "${sudo[*]} rm -f $policy" EXIT
    fi
    if ! "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; then
        "${sudo[@]}" apt-get update
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" ||
            die "apt-get could not install what the tests need." "$by_hand"
    fi
    [ -z "$policy" ] || "${sudo[@]}" rm -f $policy
}

# --- the steps -------------------------------------------------------------------------------------------------------

# Absolute, since some steps work in other directories.
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
[ -z "${CARGO_TARGET_DIR-}" ] || export CARGO_TARGET_DIR=$target
logs=$target/test-logs

step_format() { .ci/checks format; }
step_layers() { .ci/checks layers; }
step_named_tests() { .ci/checks named_tests; }
step_rfc_map() { .ci/checks rfc_map; }
step_no_std() { .ci/checks no_std; }
step_clippy() { .ci/checks clippy; }
step_features() { .ci/checks features; }
step_doc() { .ci/checks doc; }

# Everything that needs no peer, wharf-bench with its own excepted: unit tests, each crate's integration tests, documentation
# examples, the simulator.
step_unit() { cargo test --workspace --exclude wharf-interop --exclude wharf-packetdrill --locked; }

# Our scripts in packetdrill's language against the engine as a shared library. packetdrill itself is not needed.
step_packetdrill() { cargo test --package wharf-packetdrill --locked; }

# The ring under every interleaving of its two halves. Its own target directory: the flag reaches every crate.
step_loom() {
    RUSTFLAGS="--cfg loom" cargo test --release --package wharf-ring --test loom --locked --target-dir "$target/loom"
}

# The second time without cargo: it would wait for what is being built beside it, though it has nothing to build.
bench() {
    if [ ! -e "$logs/bench.built" ]; then
        cargo build --release --locked --package wharf-bench
        touch "$logs/bench.built"
    fi
    "$target/release/wharf-bench" "$@"
}

# Instructions and bytes against those in benches/baseline.json.
step_ir() { bench baseline check; }

# Goodput over emulated networks against docs/matrix.md, to the digit: the clock is virtual.
step_matrix() { bench loss --check; }

step_fuzz() { fuzz/run.sh "$FUZZ_SECONDS"; }

# The command and what tries it. Always both together: alone, each would have the common dependencies compiled anew with
# a choice of features of its own.
release=(--release --locked --package wharf-cli --package wharf-interop)
step_build() { cargo build "${release[@]}" --bin wharf --test interop; }

# Against real peers, in network namespaces. Two at a time: each keeps about two processors busy by itself.
step_interop() {
    step_build
    WHARF_BIN=$target/release/wharf cargo test "${release[@]}" --test interop -- --test-threads=2
}

# --- running them ----------------------------------------------------------------------------------------------------

# Steps that keep one processor busy, for building for release is one thread's work for most of the time, and that measure
# no time: those of a row run in turn, the rows beside each other. All others have the machine to themselves.
ROWS=("loom fuzz build" "ir matrix")

# Runs a step. What became of it is printed and left in NAME.outcome beside its log.
run_step() {
    local name=$1 log=$logs/$1.log began=$SECONDS outcome=ok
    # A shell of its own keeps `set -e` in force inside the step, which it would not be in a condition.
    set +e
    (
        set -e
        "step_$name"
    ) >"$log" 2>&1 </dev/null
    local status=$?
    set -e
    [ $status -eq 0 ] || outcome=FAILED
    local tests
    tests=$(awk '/^test result:/ {n += $4} END {if (n) printf "%d tests", n}' "$log")
    printf '%-12s %-6s %4d s  %s\n' "$name" "$outcome" $((SECONDS - began)) "$tests" >"$logs/$name.outcome"
    # At once, since another step may end meanwhile.
    local said
    said=$(cat "$logs/$name.outcome")
    if [ "$outcome" = FAILED ]; then
        said+=$(printf '\n--- the end of %s:\n%s\n---' "$log" "$(tail -n 80 "$log")")
    fi
    printf '%s\n' "$said"
}

# Runs what was chosen of ROWS. Each row is a group of processes, which an interrupted script takes along.
run_rows() {
    local row step rows=()
    set -m
    for row in "${ROWS[@]}"; do
        (for step in $row; do ! chosen "$step" || run_step "$step"; done) &
        rows+=("$!")
    done
    set +m
    # shellcheck disable=SC2064 # as they are now
    trap "kill -- ${rows[*]/#/-}; exit 130" INT TERM
    wait "${rows[@]}"
    trap - INT TERM
}

chosen() { [[ " ${steps[*]} " == *" $1 "* ]]; }
in_rows() { [[ " ${ROWS[*]} " == *" $1 "* ]]; }

steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=("${ALL_STEPS[@]}")
for step in "${steps[@]}"; do
    declare -F "step_$step" >/dev/null || die "There is no step '$step'. The steps are: ${ALL_STEPS[*]}"
done

install_what_is_missing
mkdir -p "$logs"
rm -f "$logs"/*.outcome "$logs/bench.built"
for step in "${steps[@]}"; do
    if ! in_rows "$step"; then
        run_step "$step"
    elif [ ! -e "$logs/$step.outcome" ]; then
        run_rows
    fi
done

outcomes=("${steps[@]/%/.outcome}")
echo
echo "summary, as $(id -un 2>/dev/null || true), $SECONDS s in all:"
(cd "$logs" && sed 's/^/  /' "${outcomes[@]}")
failed=$(cd "$logs" && awk '$2 == "FAILED" {n++} END {print n + 0}' "${outcomes[@]}")
if [ "$failed" -gt 0 ]; then
    die "$failed of ${#steps[@]} steps failed"
fi
echo "all passed"
