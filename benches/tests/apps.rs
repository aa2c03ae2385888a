//! Family `apps` with small amounts, against the real programs: that every row it promises comes. How fast they are is
//! nothing for a test.

use std::process::Command;

/// What the figures say in JSON, of a run with these arguments.
fn rows(arguments: &[&str]) -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_wharf-bench"))
        .args(["--json", "apps", "--bytes", "100000", "--requests", "20"])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines()
        .map(|line| {
            let figure: serde_json::Value = serde_json::from_str(line).unwrap();
            let word = |of: &str| figure[of].as_str().unwrap_or_default().to_owned();
            assert!(figure["value"].as_f64().unwrap() > 0.0 && figure["peer_value"].as_f64().unwrap() > 0.0, "{line}");
            (word("name"), word("peer"))
        })
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|&(name, peer)| (name.to_owned(), peer.to_owned())).collect()
}

#[test]
fn the_usual_programs_reach_the_servers_over_the_same_tap_device_as_wharf() {
    let only = ["--only", "apps_https_1", "--only", "apps_small_2", "--only", "apps_sftp_get"];
    let expected = [("apps_https_1", "curl"), ("apps_small_2", "curl"), ("apps_sftp_get", "OpenSSH")];
    assert_eq!(rows(&only), pairs(&expected));
}

#[test]
fn with_veth_each_of_them_has_a_second_row_without_the_relay() {
    let only = ["--veth", "--only", "apps_small_1", "--only", "apps_sftp_put"];
    let expected = [
        ("apps_small_1", "curl"),
        ("apps_small_1_veth", "curl, over veth"),
        ("apps_sftp_put", "OpenSSH"),
        ("apps_sftp_put_veth", "OpenSSH, over veth"),
    ];
    assert_eq!(rows(&only), pairs(&expected));
}
