//! The configuration file: which options it sets, and what it says of mistakes.

mod common;

use std::fs;
use std::path::Path;

use common::{Run, wharf};
use tempfile::TempDir;

/// Runs `ping` to the gateway with `file` as its configuration.
fn ping(file: &str, more: &[&str]) -> Run {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, file).unwrap();
    ping_with(&path, more)
}

fn ping_with(path: &Path, more: &[&str]) -> Run {
    let mut all = vec!["--config", path.to_str().unwrap(), "ping", "-c", "1"];
    all.extend(more);
    wharf(&all)
}

#[test]
fn options_at_the_top_and_in_the_commands_table_are_taken() {
    let ran = ping(
        "host = [\"one.test=10.0.2.2\", \"two.test=10.0.2.2\"]\njson = false\n[ping]\njson = true\n",
        &["two.test"],
    );
    ran.expect_success();
    assert!(ran.stdout.contains("\"received\":1"), "{}", ran.stdout);
}

#[test]
fn the_command_line_goes_before_the_file() {
    let file = "link = \"tap:no-such-device\"\ncount = 7\n";
    let ran = ping(file, &["10.0.2.2", "--link", "user"]);
    ran.expect_success();
    assert!(ran.stdout.contains("1 packets transmitted"), "{}", ran.stdout);
    let refused = ping(file, &["10.0.2.2"]);
    assert_eq!(refused.status, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("no-such-device"), "{}", refused.stderr);
}

#[test]
fn what_the_command_line_excludes_is_left_out() {
    let folder = TempDir::new().unwrap();
    let capture = folder.path().join("up.pcapng");
    let ran = ping("queues = 4\n", &["10.0.2.2", "--capture", capture.to_str().unwrap()]);
    ran.expect_success();
    assert!(capture.exists());
}

#[test]
fn options_of_other_commands_do_not_matter() {
    ping("[wget]\nca = \"none.pem\"\n[nslookup]\ntimeout = 3.5\n", &["10.0.2.2"]).expect_success();
}

#[test]
fn mistakes_are_told_with_the_file_and_the_key() {
    for (file, told) in [
        ("lnik = \"user\"", "lnik is no option of any command"),
        ("[wget]\ncount = 1", "[wget]: count is no option of wharf wget"),
        ("[wgte]\nca = \"x\"", "[wgte]: there is no command of that name"),
        ("json = 3", "json is either true or false"),
        ("timeout = [1, 2]", "timeout takes no array"),
        ("timeout = -1", "more than 0"),
        ("link = \"moon\"", "moon"),
        ("link = ", "configuration file"),
        ("config = \"other.toml\"", "config is no option"),
    ] {
        let ran = ping(file, &["10.0.2.2"]);
        assert_eq!(ran.status, 2, "{file}: {}", ran.stderr);
        assert!(ran.stderr.contains(told) && ran.stderr.contains("config.toml"), "{file}: {}", ran.stderr);
    }
    let ran = ping_with(Path::new("/nowhere/config.toml"), &["10.0.2.2"]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("/nowhere/config.toml") && ran.stderr.contains("cannot be read"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--config none"), "{}", ran.stderr);
}

#[test]
fn none_is_no_file() {
    wharf(&["--config", "none", "ping", "-c", "1", "10.0.2.2"]).expect_success();
}
