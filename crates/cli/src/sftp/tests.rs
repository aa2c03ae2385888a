//! What needs no server.

use super::command::{Command, HELP, Line, NAMES, Way};
use super::{complete, paths, target, words};

fn command(line: &str) -> Command {
    Line::parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).command
}

#[test]
fn words_are_split_at_spaces_that_nothing_keeps() {
    let split = |line: &str| words::split(line).unwrap();
    assert_eq!(split("get 'a b' \"c \\\" d\" e\\ f # rest"), ["get", "a b", "c \" d", "e f"]);
    assert_eq!(split("  "), Vec::<String>::new());
    assert_eq!(split("a#b"), ["a#b"]);
    assert!(words::split("'open").is_err() && words::split("end\\").is_err());
    for word in ["a b", "it's", "\"q\"", "\\", "#x", "tab\there"] {
        assert_eq!(split(&words::quoted(word)), [word]);
    }
}

#[test]
fn every_command_is_understood_with_its_options() {
    let way = Way { recursive: true, preserve: true, resume: false };
    assert_eq!(command("get -rp a b"), Command::Get { way, from: "a".into(), to: Some("b".into()) });
    let way = Way { resume: true, ..Way::default() };
    assert_eq!(command("reput a"), Command::Put { way, from: "a".into(), to: None });
    assert_eq!(command("get -a -- -x"), Command::Get { way, from: "-x".into(), to: None });
    assert_eq!(command("ls -l"), Command::List { long: true, paths: vec![] });
    assert_eq!(command("chmod 0750 x"), Command::Mode(0o750, "x".into()));
    assert!(matches!(command("ln -s a b"), Command::Link { symbolic: true, .. }));
    assert!(matches!(command("RM -r a b"), Command::Remove { recursive: true, .. }));
    assert!(Line::parse("-rm x").unwrap().may_fail && !Line::parse("rm x").unwrap().may_fail);
    for refused in ["get", "get a b c", "put -z a", "chmod 999 x", "chmod 77777 x", "mv a", "nothing", "rm", "cd a b"] {
        assert!(Line::parse(refused).is_err(), "{refused}");
    }
    for name in NAMES {
        // A name that is not known would say so; one that is complains about its words at most.
        if let Err(error) = Line::parse(name) {
            assert!(!error.contains("no such command"), "{name}");
        }
        let known_otherwise = ["?", "bye", "exit", "help", "lstat", "rename", "symlink"];
        assert!(HELP.contains(name) || known_otherwise.contains(&name), "{name} is not in the help");
    }
}

#[test]
fn targets_name_a_host_and_perhaps_a_path() {
    let parts = |text: &str| {
        let (host, path) = target::parse(text).unwrap();
        (host.user, host.host, host.port, path)
    };
    let own = |text: &str| Some(text.to_owned());
    assert_eq!(parts("me@h:a/b"), (own("me"), "h".into(), None, own("a/b")));
    assert_eq!(parts("h:"), (None, "h".into(), None, None));
    assert_eq!(parts("[::1]:/x"), (None, "::1".into(), None, own("/x")));
    assert_eq!(parts("sftp://me@h:2222/a/b"), (own("me"), "h".into(), Some(2222), own("a/b")));
    assert!(target::parse("").is_err() && target::parse("me@:x").is_err() && target::parse("sftp://h:0/").is_err());
}

#[test]
fn paths_are_bytes_between_slashes() {
    assert_eq!(paths::joined(b"/home", b"a"), b"/home/a");
    assert_eq!(paths::joined(b"/", b"a"), b"/a");
    assert_eq!(paths::joined(b"/home", b"/a"), b"/a");
    assert_eq!(paths::last_part(b"/a/b//"), b"b");
    assert_eq!(paths::last_part(b"/"), b"");
    assert_eq!(paths::parted(b"/a"), (&b"/"[..], &b"a"[..]));
    assert_eq!(paths::parted(b"x/y"), (&b"x"[..], &b"y"[..]));
    assert_eq!(complete::start_of("get a\\ b"), 4);
}
