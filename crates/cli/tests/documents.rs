//! Manual pages and completions, and the script that installs them.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::wharf;
use tempfile::TempDir;

#[test]
fn every_command_has_a_page_that_shows_its_options_and_exit_statuses() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("man1");
    wharf(&["man", "--to", path.to_str().unwrap()]).expect_success();
    let mut pages = 0;
    for page in fs::read_dir(&path).unwrap() {
        let page = page.unwrap().path();
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{}", page.display());
        pages += 1;
    }
    assert!(pages >= 7, "{pages} pages");
    let wget = fs::read_to_string(path.join("wharf-wget.1")).unwrap();
    assert!(wget.contains("\\-\\-header") && wget.contains("Exit status"), "{wget}");
    let one = wharf(&["man", "wget"]);
    one.expect_success();
    assert_eq!(one.stdout, wget);
}

#[test]
fn a_page_of_a_command_that_is_not_there_is_refused() {
    let ran = wharf(&["man", "wgte"]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("no command wgte"), "{}", ran.stderr);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let ran = wharf(&["man", "--to", "/proc/nowhere"]);
    assert_eq!(ran.status, 3);
    assert!(ran.stderr.contains("/proc/nowhere"), "{}", ran.stderr);
}

#[test]
fn shells_are_told_the_commands_and_their_options() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = wharf(&["completions", shell]);
        ran.expect_success();
        assert!(ran.stdout.contains("nslookup") && ran.stdout.contains("capture"), "{shell}");
    }
    // What bash makes of it is bash's to say.
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("wharf");
    fs::write(&file, wharf(&["completions", "bash"]).stdout).unwrap();
    let asked = "source \"$0\"; COMP_WORDS=(wharf nsl); COMP_CWORD=1; _wharf wharf nsl wharf; echo \"${COMPREPLY[*]}\"";
    let bash = Command::new("bash").args(["-c", asked]).arg(&file).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&bash.stdout).trim(), "nslookup", "{}", String::from_utf8_lossy(&bash.stderr));
}

#[test]
fn the_install_script_puts_binary_pages_and_completions_under_the_prefix() {
    let folder = TempDir::new().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../install.sh");
    let run = |more: &[&str]| {
        let output = Command::new(&script).arg("--prefix").arg(folder.path()).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["--binary", env!("CARGO_BIN_EXE_wharf")]);
    let places = [
        "bin/wharf",
        "share/man/man1/wharf.1",
        "share/man/man1/wharf-wget.1",
        "share/bash-completion/completions/wharf",
        "share/zsh/site-functions/_wharf",
        "share/fish/vendor_completions.d/wharf.fish",
    ];
    for place in places {
        assert!(fs::metadata(folder.path().join(place)).unwrap().len() > 0, "{place}");
    }
    run(&["--remove"]);
    for place in places {
        assert!(!folder.path().join(place).exists(), "{place} was left behind");
    }
}
