#!/bin/sh
# Builds every fuzz target and runs each for its share of SECONDS. Stops at the first crash with a non-zero status, and
# prints the command that replays it. Stable Rust: the instrumentation is asked of LLVM directly, not of `-Zsanitizer`.
#
# usage: fuzz/run.sh SECONDS [TARGET...]
#        fuzz/run.sh replay TARGET FILE
set -eu
cd "$(dirname "$0")"

host=$(rustc -vV | sed -n 's/^host: //p')
target_dir=${CARGO_TARGET_DIR:-target}/fuzz
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags="$flags -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags="$flags -Cllvm-args=-sanitizer-coverage-pc-table"
flags="$flags -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1"

# With --target the flags stay away from build scripts, which have no libFuzzer to link with.
build() {
    RUSTFLAGS="$flags" cargo build --quiet --release --locked --target "$host" --target-dir "$target_dir" "$@"
}

usage() {
    sed -n 's/^# usage: //p; s/^#        //p' "$0" >&2
    exit 2
}

case ${1-} in
replay)
    [ $# -eq 3 ] || usage
    build --bin "$2"
    exec "$target_dir/$host/release/$2" "$3"
    ;;
'' | *[!0-9]*) usage ;;
esac

seconds=$1
shift
[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\([a-z0-9_]*\)"$/\1/p' Cargo.toml)
build
share=$((seconds / $#))
[ "$share" -gt 0 ] || share=1

for target; do
    mkdir -p "corpus/$target" "artifacts/$target" "seeds/$target"
    echo "$target: $share s"
    log=artifacts/$target.log
    if ! "$target_dir/$host/release/$target" "corpus/$target" "seeds/$target" -max_total_time="$share" -max_len=2048 \
        -timeout=5 -rss_limit_mb=1024 -artifact_prefix="artifacts/$target/" -print_final_stats=1 >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        echo "$target failed; replay with: fuzz/run.sh replay $target ${found:-(no input was written, see fuzz/$log)}" >&2
        exit 1
    fi
    sed -n 's/^stat::number_of_executed_units: */  runs: /p' "$log"
done
