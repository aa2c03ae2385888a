//! Running a test inside namespaces of its own.
//!
//! The test binary starts itself again under unshare(1), asking libtest for this one test; the environment tells
//! the second run that it has arrived. As root the namespaces are made directly; an ordinary user gets them through
//! a user namespace in which he is root. The process namespace is what makes an end an end: when its first process
//! exits, the kernel kills every daemon that the test started.

use std::any::type_name;
use std::env;
use std::fs::{self, File};
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::HUNG;
use crate::bad_link;
use crate::world::World;

/// Names the test that is already inside.
const INSIDE: &str = "WHARF_INTEROP_INSIDE";
/// The directory that the outer run made for the inner one.
const DIRECTORY: &str = "WHARF_INTEROP_DIRECTORY";
/// The `wharf` binary under test. Set it to test another build than the release build of this tree.
const BINARY: &str = "WHARF_BIN";

/// From a panic of one of the test's threads to the end of the test.
const AFTER_A_PANIC: Duration = Duration::from_secs(20);

/// Runs `body` as root of a network that contains nothing yet. Call it as the whole of a `#[test]`.
///
/// # Panics
///
/// When the body panics, when it hangs, or when the system allows no namespaces: with all that is known about why.
pub fn in_namespace<F: FnOnce(&World)>(body: F) {
    in_namespace_over(body, false);
}

/// As [`in_namespace`], over the bad link of [`again_over_a_bad_link`].
///
/// # Panics
///
/// As [`in_namespace`].
pub fn in_namespace_over_a_bad_link<F: FnOnce(&World)>(body: F) {
    in_namespace_over(body, true);
}

fn in_namespace_over<F: FnOnce(&World)>(body: F, bad_link: bool) {
    let test = test_name::<F>();
    if env::var(INSIDE).is_ok_and(|inside| inside == test) {
        let directory = env::var_os(DIRECTORY).expect("the outer run names a directory");
        let binary = env::var_os(BINARY).expect("the outer run names the binary");
        let world = World::new(PathBuf::from(directory), PathBuf::from(binary));
        end_soon_after_a_panic();
        body(&world);
    } else {
        run_inside(test, bad_link);
    }
}

/// Runs the test `test` of the same program, `file::name`, once more: its TAP devices are the same to it, but a link of
/// 80 ms there and back, which loses 2 % of the frames, lies between Wharf and them. Call it as the whole of a `#[test]`.
///
/// # Panics
///
/// As [`in_namespace`], and when there is no such test.
pub fn again_over_a_bad_link(test: &str) {
    run_inside(test, true);
}

/// A thread of the test that panics leaves the others waiting for what it would have done. They get a while to notice
/// by themselves, which also shows what the daemons logged; then the run ends, because nothing better will come.
fn end_soon_after_a_panic() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        usual(panic);
        thread::spawn(|| {
            thread::sleep(AFTER_A_PANIC);
            println!("a thread panicked, and {AFTER_A_PANIC:?} later the test has not ended: ended here");
            process::exit(101);
        });
    }));
}

/// The name that libtest knows the test by, from the closure's type: `binary::file::name_of_the_test::{{closure}}`.
fn test_name<F>() -> &'static str {
    let path = type_name::<F>();
    let path = path.strip_suffix("::{{closure}}").expect("in_namespace takes a closure written in the test itself");
    path.split_once("::").expect("the path of a type begins with its crate").1
}

fn run_inside(test: &str, over_a_bad_link: bool) {
    let executable = env::current_exe().expect("a test knows its own path");
    let binary = wharf_binary(&executable);
    let directory = target_directory(&executable).join("interop").join(directory_name(test));
    fs::create_dir_all(&directory).expect("the target directory takes the test's files");
    let log = directory.join("test.log");
    let output = File::create(&log).expect("the test's log can be written");

    let mut command = Command::new("unshare");
    command
        .args(unshare_flags())
        .arg("--")
        .arg(&executable)
        .args([test, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"])
        .env(INSIDE, test)
        .env(DIRECTORY, &directory)
        .env(BINARY, binary)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("a descriptor can be copied"))
        .stderr(output);
    if over_a_bad_link {
        bad_link::choose(&mut command, test);
    }
    let mut child = command.spawn().expect("unshare(1) starts");
    // Twice the limit of a step: the step's own complaint, which says more, comes first.
    let deadline = Instant::now() + 2 * HUNG;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill().expect("a child can be killed");
            child.wait().expect("a child can be waited for");
            break None;
        }
        thread::sleep(Duration::from_millis(10));
    };
    let log = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
    if env::var_os("WHARF_INTEROP_KEEP").is_none() {
        // What cannot be removed is in the target directory and harms nobody.
        let _ = fs::remove_dir_all(&directory);
    }
    // libtest reports success for a name that it does not know.
    assert!(log.contains("running 1 test"), "the test did not find itself as {test}:\n{log}");
    match status {
        Some(status) if status.success() => println!("{log}"),
        Some(status) => panic!("inside the namespace ({status}):\n{log}"),
        None => panic!("inside the namespace: hung, killed after {:?}:\n{log}", 2 * HUNG),
    }
}

/// A name of its own for the directory of `test`, with the beginning of the test's. It is short, because daemons make
/// sockets below it, whose paths may not be longer than 107 bytes (unix(7)).
fn directory_name(test: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name: String = test.replace("::", "-").chars().take(16).collect();
    format!("{}-{}-{name}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// The flags under which unshare(1) works here, found out once.
fn unshare_flags() -> &'static [&'static str] {
    const AS_ROOT: &[&str] = &["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const AS_USER: &[&str] =
        &["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    static FLAGS: OnceLock<Result<&'static [&'static str], String>> = OnceLock::new();
    let flags = FLAGS.get_or_init(|| {
        let mut refusals = String::new();
        // Outside root's rights the first is refused at once; inside a container's, both may be.
        for flags in [AS_ROOT, AS_USER] {
            match Command::new("unshare").args(flags).arg("true").output() {
                Ok(output) if output.status.success() => return Ok(flags),
                Ok(output) => {
                    refusals +=
                        &format!("  unshare {}: {}\n", flags.join(" "), String::from_utf8_lossy(&output.stderr).trim())
                }
                Err(error) => refusals += &format!("  unshare(1) of util-linux: {error}\n"),
            }
        }
        Err(refusals)
    });
    match flags {
        Ok(flags) => flags,
        Err(refusals) => panic!(
            "no network namespace can be made here, neither as root nor through a user namespace:\n{refusals}\
             Run the tests as root, or allow user namespaces: sysctl kernel.unprivileged_userns_clone=1 (older \
             Debian), sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), or a container started with \
             --privileged."
        ),
    }
}

/// `target/` from `target/PROFILE/deps/TEST`.
fn target_directory(executable: &Path) -> PathBuf {
    executable.ancestors().nth(3).expect("a test binary lies in target/PROFILE/deps").to_owned()
}

/// The release build of `wharf`, built if it is not there or older than its sources.
fn wharf_binary(executable: &Path) -> PathBuf {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if let Some(binary) = env::var_os(BINARY) {
        let binary = PathBuf::from(binary);
        assert!(binary.exists(), "{BINARY} names {}, which is not there", binary.display());
        return binary;
    }
    let target = target_directory(executable);
    let built = BUILT.get_or_init(|| {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "--package", "wharf-cli", "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(&target)
            .output()
            .expect("cargo starts");
        if output.status.success() {
            Ok(target.join("release/wharf"))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    });
    built.clone().unwrap_or_else(|errors| panic!("wharf does not build:\n{errors}"))
}
