//! Runs every script of `scripts/` against the library, without packetdrill: a reader of the part of its language that
//! they use, and a hand that plays the peer and the application.
//!
//! It is stricter than packetdrill: times must be right to a millisecond, each segment is named by itself, and nothing
//! may leave that the script does not mention. The arguments are parts of scripts' names; without any, all run.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

#[path = "../src/abi.rs"]
#[expect(unreachable_pub, reason = "the library's own file")]
mod abi;
mod calls;
mod check;
mod lexer;
mod library;
mod packet;
mod parser;
mod script;
mod session;
mod symbols;
mod tcp_options;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use library::Library;

fn main() -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let mut paths = Vec::new();
    find_scripts(&folder, &mut paths);
    paths.sort();
    let library = match Library::load() {
        Ok(library) => library,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut passed, mut failures) = (0, Vec::new());
    for path in &paths {
        let name = path.strip_prefix(&folder).unwrap_or(path).display().to_string();
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        match run(&library, path) {
            Ok(()) => {
                println!("test {name} ... ok");
                passed += 1;
            }
            Err(error) => {
                println!("test {name} ... FAILED");
                failures.push(format!("{name}:{error}"));
            }
        }
    }
    if wanted.is_empty() {
        failures.extend(undocumented(&folder, &paths));
    }
    for failure in &failures {
        println!("\n{failure}");
    }
    let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {} failed", failures.len());
    if failures.is_empty() && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(library: &Library, path: &Path) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let script = parser::parse(&text)?;
    // A thread of its own, whose end leaves nothing behind: the library takes whoever begins for the driver.
    std::thread::scope(|scope| {
        scope.spawn(|| session::run(library, &script)).join().unwrap_or_else(|_| Err(" the runner panicked".into()))
    })
}

fn find_scripts(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find_scripts(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "pkt") {
            into.push(path);
        }
    }
}

/// The table in docs/packetdrill.md has a row for each script, and no other.
fn undocumented(folder: &Path, paths: &[PathBuf]) -> Vec<String> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/packetdrill.md");
    let text = fs::read_to_string(&document).unwrap_or_default();
    let names: Vec<String> =
        paths.iter().map(|path| path.strip_prefix(folder).unwrap_or(path).display().to_string()).collect();
    let missing = names.iter().filter(|name| !text.contains(&format!("`{name}`")));
    let mut complaints: Vec<String> =
        missing.map(|name| format!("{name}: docs/packetdrill.md has no row for it")).collect();
    for named in text.split('`').filter(|word| word.ends_with(".pkt") && !word.contains([' ', '*', '$'])) {
        if !names.iter().any(|name| name == named) {
            complaints.push(format!("docs/packetdrill.md names {named}, which is not there"));
        }
    }
    complaints
}
