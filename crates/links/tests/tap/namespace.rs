//! Runs a test as root of a network namespace of its own, in a process of its own.
//!
//! The test binary starts itself again under unshare(1), asking libtest for this one test; the environment tells the
//! second run that it has arrived. Who is not root gets there through a user namespace.

use std::any::type_name;
use std::process::{Command, Output};
use std::{env, fs};

/// Names the test that is already inside.
const INSIDE: &str = "WHARF_LINKS_INSIDE";

/// Runs `body` in a namespace that contains nothing yet. Call it as the whole of a `#[test]`.
pub(crate) fn in_namespace<F: FnOnce()>(body: F) {
    let path = type_name::<F>().strip_suffix("::{{closure}}").expect("called with a closure of the test itself");
    let test = path.split_once("::").expect("a path begins with its crate").1;
    if env::var(INSIDE).is_ok_and(|inside| inside == test) {
        ip("link set lo up");
        return body();
    }
    let executable = env::current_exe().expect("a test knows its own path");
    let mut refusals = String::new();
    for flags in [&["--net", "--mount"][..], &["--user", "--map-root-user", "--net", "--mount"]] {
        let probe = run(Command::new("unshare").args(flags).arg("true"));
        if !probe.status.success() {
            refusals += &String::from_utf8_lossy(&probe.stderr);
            continue;
        }
        let output = run(Command::new("unshare")
            .args(flags)
            .arg(executable)
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env("RUST_BACKTRACE", "0")
            .env(INSIDE, test));
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        // libtest is content with a name that it does not know.
        assert!(stdout.contains("running 1 test"), "the test did not find itself as {test}:\n{stdout}");
        assert!(output.status.success(), "inside the namespace:\n{stdout}{stderr}");
        return;
    }
    panic!("no network namespace can be made here, neither as root nor through a user namespace:\n{refusals}");
}

/// A TAP device `name`, up, with the kernel's address on it and without IPv6's own messages.
pub(crate) fn make_tap(name: &str, mtu: u32) {
    ip(&format!("tuntap add dev {name} mode tap"));
    fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1").expect("the namespace's own settings");
    ip(&format!("link set {name} mtu {mtu} up"));
    ip(&format!("address add 10.9.0.1/24 dev {name}"));
}

/// The same with several queues, and an MTU of 1500.
pub(crate) fn make_queued_tap(name: &str) {
    ip(&format!("tuntap add dev {name} mode tap multi_queue"));
    fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1").unwrap();
    ip(&format!("link set {name} up"));
    ip(&format!("address add 10.9.0.1/24 dev {name}"));
}

/// Runs ip(8), which succeeds.
pub(crate) fn ip(arguments: &str) {
    succeed("ip", arguments);
}

/// Runs a program, which succeeds.
pub(crate) fn succeed(program: &str, arguments: &str) {
    let output = run(Command::new(program).args(arguments.split_whitespace()));
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"))
}
