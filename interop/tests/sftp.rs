//! `wharf sftp` and OpenSSH's sftp-server over TAP.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use wharf_interop::{Finished, Payload, Program, Running, Sshd, Tap, Typist, World, in_namespace, sha256_of_file};

use crate::site::names;
use crate::ssh::wait_for;

/// A server that lets one key in, a folder there and one here.
struct Site<'a> {
    world: &'a World,
    tap: Tap,
    sshd: Sshd<'a>,
    key: PathBuf,
    there: PathBuf,
    here: PathBuf,
}

impl<'a> Site<'a> {
    fn new(world: &'a World, more: &str) -> Self {
        let tap = world.tap();
        let key = world.ssh_key("user", "ed25519", "");
        world.authorize(&key);
        let host = world.ssh_key("host", "ed25519", "");
        let sshd = Sshd::start(world, tap.address, 22, &[&host], more);
        Self { world, tap, sshd, key, there: world.make_directory("there"), here: world.make_directory("here") }
    }

    fn arguments(&self, more: &[&str], path: &Path) -> Vec<String> {
        let mut arguments = vec!["sftp".to_owned()];
        arguments.extend(self.tap.by_hand());
        let known = format!("UserKnownHostsFile={}", self.world.path("known_hosts").display());
        arguments.extend(["-F", "none", "-o", &known, "-o", "GlobalKnownHostsFile=none"].map(str::to_owned));
        arguments.extend(["--accept-new", "-i", &self.key.to_string_lossy()].map(str::to_owned));
        arguments.extend(more.iter().map(|&option| option.to_owned()));
        arguments.push(format!("{}:{}", self.sshd.target(), path.display()));
        arguments
    }

    fn program(&self, more: &[&str], path: &Path) -> Program<'a> {
        let arguments = self.arguments(more, path);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.world.wharf(&arguments).environment("SSH_AUTH_SOCK", "")
    }

    /// Writes a batch that begins in `here`.
    fn batch(&self, lines: &str) -> String {
        let file = self.world.path("batch");
        fs::write(&file, format!("lcd {}\n{lines}\n", self.here.display())).unwrap();
        file.to_string_lossy().into_owned()
    }

    /// Runs `lines` in the two folders.
    fn run(&self, lines: &str) -> Finished {
        let batch = self.batch(lines);
        self.program(&["-b", &batch], &self.there).run()
    }

    fn start(&self, lines: &str) -> Running {
        let batch = self.batch(lines);
        self.program(&["-b", &batch], &self.there).start()
    }
}

/// So many bytes as a command tells them.
fn told(bytes: u64) -> String {
    if bytes < 1_000_000 { format!("{:.1} kB", bytes as f64 / 1e3) } else { format!("{:.1} MB", bytes as f64 / 1e6) }
}

#[test]
fn files_go_and_come_whole_while_keys_are_exchanged_anew() {
    in_namespace(|world| {
        let size = world.amount(128 << 20) / 2;
        let site = Site::new(world, &format!("RekeyLimit {}", size / 8));
        let sent = Payload::new(3).write_file(&site.here.join("big"), size);
        for (name, length) in [("empty", 0), ("one", 1), ("piece", 32_768), ("more", 32_769)] {
            let _ = Payload::new(4).write_file(&site.here.join(name), length);
        }
        let lines = "put big\nput empty\nput one\nput piece\nput more\nlmkdir back\nget * back\n";
        let done = site.run(lines).succeeded();
        assert!(done.stdout.contains(&format!("sent, {}", told(size))), "{done}");
        assert_eq!(names(&site.there), ["big", "empty", "more", "one", "piece"]);
        assert_eq!(sha256_of_file(&site.there.join("big")), sent);
        assert_eq!(sha256_of_file(&site.here.join("back/big")), sent);
        for name in ["empty", "one", "piece", "more"] {
            assert!(fs::read(site.here.join(name)).unwrap() == fs::read(site.there.join(name)).unwrap(), "{name}");
            assert!(fs::read(site.here.join(name)).unwrap() == fs::read(site.here.join("back").join(name)).unwrap());
        }
        assert!(site.sshd.log().matches("SSH2_MSG_KEXINIT received").count() > 10);
        // No kernel socket was needed for any of it.
        let arguments = site.arguments(&["-b", &site.batch("get one again")], &site.there);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (program, trace) = world.wharf_traced("socket,socketpair", &arguments);
        program.environment("SSH_AUTH_SOCK", "").run().expect_success();
        let trace = fs::read_to_string(trace).unwrap();
        assert!(!trace.contains("AF_INET"), "{trace}");
    });
}

#[test]
fn a_gibibyte_comes_whole_with_keys_exchanged_anew_in_its_middle() {
    in_namespace(|world| {
        let site = Site::new(world, "RekeyLimit 400M");
        let size = 1 << 30;
        let there = Payload::new(11).write_file(&site.there.join("big"), size);
        let exchanges = || site.sshd.log().matches("SSH2_MSG_KEXINIT received").count();
        let before = exchanges();
        let done = site.run("get big").succeeded();
        assert!(done.stdout.contains("fetched, 1.1 GB"), "{done}");
        assert_eq!(sha256_of_file(&site.here.join("big")), there);
        // The first of them opens the session.
        assert!(exchanges() - before >= 3, "{}", site.sshd.log());
    });
}

#[test]
fn every_command_does_what_it_says_and_a_batch_stops_at_the_first_that_fails() {
    in_namespace(|world| {
        let site = Site::new(world, "");
        fs::write(site.here.join("a file"), "text\n").unwrap();
        let lines = "put 'a file'\nmkdir sub\nmv 'a file' sub\nln -s 'sub/a file' soft\nln 'sub/a file' hard\n\
                     chmod 640 hard\nstat soft\nls -l\nls --\npwd\nlpwd\ndf\nmv hard sub/'b'\nrm soft\ncd sub\npwd\n-rm missing\n";
        let done = site.run(lines).succeeded();
        assert!(done.stdout.contains("drwx") && done.stdout.contains("lrwx") && done.stdout.contains("-rw-r-----"));
        assert!(done.stdout.contains("size        5 bytes") && done.stdout.contains("available"), "{done}");
        assert!(done.stdout.contains(&format!("{}/sub\n", site.there.display())));
        assert_eq!(
            (names(&site.there), names(&site.there.join("sub"))),
            (vec!["sub".into()], vec!["a file".into(), "b".into()])
        );
        assert_eq!(fs::metadata(site.there.join("sub/b")).unwrap().permissions().mode() & 0o777, 0o640);
        // The second line fails, the third is not reached.
        let done = site.run("cd sub\nrmdir ../sub\nrm b").failed_saying(&["line 3", "sub"]);
        assert_eq!(done.code(), 1);
        assert!(site.there.join("sub/b").exists());
        site.run("rm sub/*\nrmdir sub").expect_success();
        assert!(names(&site.there).is_empty());
        for (lines, said) in [
            ("get nothing", "no such file"),
            ("get /etc", "get -r"),
            ("put /etc", "put -r"),
            ("cd nowhere", "no such file"),
            ("lcd /nowhere", "/nowhere"),
            ("frobnicate", "no such command"),
            ("chmod 999 x", "octal"),
            ("put /dev/null", "no plain file"),
        ] {
            assert_eq!(site.run(lines).failed_saying(&[said]).code(), 1, "{lines}");
        }
        // A file named on the command line is fetched, and that is all.
        fs::write(site.there.join("wanted"), "here it is").unwrap();
        let into = site.here.join("into");
        fs::create_dir(&into).unwrap();
        let arguments = site.arguments(&[], &site.there.join("wanted"));
        let line = arguments.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let binary = std::env::var("WHARF_BIN").unwrap();
        let line = format!("cd {} && exec {binary} {line}", into.display());
        Program::new(world, "sh").arguments(&["-c", &line]).run().expect_success();
        assert_eq!(fs::read_to_string(into.join("wanted")).unwrap(), "here it is");
    });
}

#[test]
fn folders_keep_their_shape_times_and_permissions_and_links_do_not_go_round() {
    in_namespace(|world| {
        let site = Site::new(world, "");
        let tree = site.here.join("tree");
        fs::create_dir_all(tree.join("deep/er")).unwrap();
        fs::write(tree.join("run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(tree.join("run"), fs::Permissions::from_mode(0o751)).unwrap();
        fs::write(tree.join("deep/er/leaf"), "leaf").unwrap();
        fs::write(tree.join("na\u{ef}ve \u{1f6a2}"), "name").unwrap();
        symlink("..", tree.join("deep/round")).unwrap();
        symlink("run", tree.join("alias")).unwrap();
        Program::new(world, "touch")
            .arguments(&[
                "-d",
                "2001-02-03 04:05:06 UTC",
                &tree.join("run").to_string_lossy(),
                &tree.join("deep").to_string_lossy(),
            ])
            .run()
            .expect_success();
        // The circle fails, everything else arrives.
        let done = site.run("put -rp tree").failed_saying(&["circle", "one file was not moved"]);
        assert_eq!(done.code(), 1);
        let copy = site.there.join("tree");
        assert_eq!(names(&copy), names(&tree));
        assert_eq!(fs::read(copy.join("deep/er/leaf")).unwrap(), b"leaf");
        let meta = fs::metadata(copy.join("run")).unwrap();
        assert_eq!((meta.mode() & 0o777, meta.mtime()), (0o751, 981_173_106));
        fs::remove_dir_all(&tree).unwrap();
        // And back, with a circle there.
        symlink("..", copy.join("deep/circle")).unwrap();
        let _ = site.run("get -r -p tree").failed_saying(&["circle"]);
        assert_eq!(fs::read(tree.join("deep/er/leaf")).unwrap(), b"leaf");
        let meta = fs::metadata(tree.join("run")).unwrap();
        assert_eq!((meta.mode() & 0o777, meta.mtime()), (0o751, 981_173_106));
        assert_eq!(fs::metadata(tree.join("deep")).unwrap().mtime(), fs::metadata(copy.join("deep")).unwrap().mtime());
        site.run("rm -r tree").expect_success();
        assert!(names(&site.there).is_empty() && tree.join("run").exists());
    });
}

#[test]
fn a_cable_pulled_during_put_leaves_nothing_under_the_name_and_reput_goes_on() {
    in_namespace(|world| {
        let site = Site::new(world, "ClientAliveInterval 1\nClientAliveCountMax 60");
        let size = world.amount(512 << 20) / 2;
        let sent = Payload::new(5).write_file(&site.here.join("big"), size);
        let part = site.there.join("big.part");
        let length = |file: &Path| fs::metadata(file).map_or(0, |file| file.len());
        let batch = site.batch("put big");
        let running = site.program(&["-b", &batch, "--timeout", "5"], &site.there).start();
        wait_for(|| length(&part) > (size >> 8).max(1 << 17), "the beginning of the file");
        world.ip(&["link", "set", "tap0", "down"]);
        let done = running.wait().failed_saying(&["gone"]);
        assert_eq!(done.code(), 1, "{done}");
        assert!(!site.there.join("big").exists());
        world.ip(&["link", "set", "tap0", "up"]);
        // The old session's server may still write what it has.
        let mut before = 0;
        wait_for(
            || {
                let now = length(&part);
                std::thread::sleep(Duration::from_millis(100));
                let rests = now == before && now == length(&part);
                before = now;
                rests
            },
            "an end of the old session",
        );
        assert!(before < size, "the cable was pulled too late");
        let done = site.run("reput big").succeeded();
        assert!(!done.stdout.contains(&told(size)), "it began anew: {done}");
        assert_eq!(names(&site.there), ["big"]);
        assert_eq!(sha256_of_file(&site.there.join("big")), sent);
    });
}

#[test]
fn pieces_grow_to_what_the_server_takes() {
    in_namespace(|world| {
        let log = world.path("sftp-server.log");
        // The subsystem is a line for the user's shell.
        let subsystem = format!("Subsystem sftp /usr/lib/openssh/sftp-server -e -l DEBUG3 2>>{}", log.display());
        let site = Site::new(world, &subsystem);
        let sent = Payload::new(5).write_file(&site.here.join("big"), 8 << 20);
        site.run("put big\nget big back\n").expect_success();
        assert_eq!(sha256_of_file(&site.there.join("big")), sent);
        assert_eq!(sha256_of_file(&site.here.join("back")), sent);
        let log = fs::read_to_string(log).unwrap();
        for (what, length) in [("read", "32768"), ("read", "261120"), ("write", "32768"), ("write", "261120")] {
            let pieces = log.lines().filter(|line| {
                line.contains(&format!(": {what} ")) && line.trim_end().ends_with(&format!("len {length}"))
            });
            assert!(pieces.count() > 0, "no {what} of {length} bytes: {log}");
        }
    });
}

#[test]
fn an_interrupted_get_leaves_a_part_that_reget_completes() {
    in_namespace(|world| {
        let site = Site::new(world, "");
        let size = world.amount(256 << 20);
        let sent = Payload::new(6).write_file(&site.there.join("big"), size);
        let part = site.here.join("big.part");
        let running = site.start("get big");
        wait_for(
            || fs::metadata(&part).is_ok_and(|part| part.len() > (size >> 8).max(1 << 17)),
            "the beginning of the file",
        );
        Program::new(world, "kill").arguments(&["-INT", &running.id().to_string()]).run().expect_success();
        let done = running.wait().failed_saying(&["interrupted"]);
        assert_eq!(done.code(), 1);
        assert_eq!(names(&site.here), ["big.part"]);
        let done = site.run("reget big").succeeded();
        assert!(!done.stdout.contains(&told(size)), "it began anew: {done}");
        assert_eq!(names(&site.here), ["big"]);
        assert_eq!(sha256_of_file(&site.here.join("big")), sent);
        // Whole already.
        assert!(site.run("reget big").succeeded().stdout.contains("whole already"));
        // A part that is longer than the file is another file's.
        fs::write(site.there.join("short"), "short").unwrap();
        fs::write(site.here.join("short.part"), "much longer").unwrap();
        let _ = site.run("reget short").failed_saying(&["another file"]);
        site.run("get short").expect_success();
        assert_eq!(names(&site.here), ["big", "short"]);
    });
}

#[test]
fn a_full_disk_on_either_side_has_its_own_message_and_leaves_no_name() {
    in_namespace(|world| {
        let site = Site::new(world, "");
        let disk = world.small_disk(1 << 20);
        let _ = Payload::new(8).write_file(&site.there.join("big"), 4 << 20);
        let _ = Payload::new(8).write_file(&site.here.join("big"), 4 << 20);
        let done = site.run(&format!("lcd {}\nget big", disk.display())).failed_saying(&["disk is full", "big"]);
        assert_eq!(done.code(), 1);
        assert!(!disk.join("big").exists());
        fs::remove_file(disk.join("big.part")).unwrap();
        // The server only says that it failed.
        let _ = site.run(&format!("put big {}/", disk.display())).failed_saying(&["big.part"]);
        assert!(!disk.join("big").exists());
    });
}

#[test]
fn a_person_types_commands_and_the_tabulator_completes_names() {
    in_namespace(|world| {
        let site = Site::new(world, "");
        fs::create_dir(site.there.join("harbour")).unwrap();
        fs::write(site.there.join("harbour/lighthouse keeper"), "light\n").unwrap();
        let mut person = Typist::start(site.program(&[], &site.there));
        // What the editor says when it is ready for keys: it asks for pastes to be marked.
        const READY: &str = "\u{1b}[?2004h";
        person.expect(READY);
        person.type_in("cd har\t\n");
        person.expect(READY);
        person.type_in("pwd\n");
        person.expect("there/harbour");
        person.expect(READY);
        person.type_in(&format!("lcd {}\n", site.here.display()));
        person.expect(READY);
        person.type_in("get li\t\n");
        person.expect("fetched");
        person.expect(READY);
        person.type_in("get nothing\n");
        person.expect("no such file");
        person.expect(READY);
        person.type_in("pwd\n");
        person.expect("there/harbour");
        person.expect(READY);
        person.type_in("quit\n");
        assert!(person.wait().success(), "{}", person.shown());
        assert!(person.echoes());
        assert_eq!(fs::read_to_string(site.here.join("lighthouse keeper")).unwrap(), "light\n");
    });
}

/// An SFTP server that answers whatever is asked: every path is a folder or, with `file` in its name, a file of five
/// bytes that says it has ten.
const HOSTILE: &str = r#"
import os, struct, sys
def put(kind, body):
    sys.stdout.buffer.write(struct.pack(">IB", len(body) + 1, kind) + body); sys.stdout.buffer.flush()
def text(b): return struct.pack(">I", len(b)) + b
def need(n):
    b = sys.stdin.buffer.read(n)
    if len(b) < n: sys.exit(0)
    return b
listed = {}
while True:
    length, kind = struct.unpack(">IB", need(5)); body = need(length - 1)
    if kind == 1: put(2, struct.pack(">I", 3)); continue
    id, rest = body[:4], body[4:]
    n = struct.unpack(">I", rest[:4])[0]; path, more = rest[4:4 + n], rest[4 + n:]
    def attributes(p): return struct.pack(">IQI", 5, 10, 0o100644 if b"file" in p else 0o040755)
    def status(code, words=b""): put(101, id + struct.pack(">I", code) + text(words) + text(b""))
    if kind == 16: put(104, id + struct.pack(">I", 1) + text(path if path != b"." else b"/evil") + text(b"") + struct.pack(">I", 0))
    elif kind in (7, 8, 17): put(105, id + attributes(path))
    elif kind in (3, 11): listed.pop(path, None); put(102, id + text(path[:200]))
    elif kind == 12:
        if path in listed: status(1)
        else:
            listed[path] = 1
            names = [b"../file-up", b"/tmp/file-absolute", b"..", b".", b"", b"file\0nul", b"file-good", b"a/file-deep"]
            put(104, id + struct.pack(">I", len(names)) + b"".join(text(x) + text(b"\x1b[31m") + attributes(x) for x in names))
    elif kind == 5:
        offset = struct.unpack(">Q", more[:8])[0]
        if offset >= 5: status(1)
        else: put(103, id + text(b"bytes"[offset:]))
    elif kind == 13: status(4, b"no \x1b]0;title\x07 way")
    elif kind == 15: put(77, id)
    else: status(0)
"#;

#[test]
fn a_server_that_lies_about_names_and_sizes_is_not_followed() {
    in_namespace(|world| {
        let script = world.path("hostile.py");
        fs::write(&script, HOSTILE).unwrap();
        let site = Site::new(world, &format!("Subsystem sftp python3 {}", script.display()));
        let batch = site.batch("get -r /evil");
        let run = |batch: &str| site.program(&["-b", batch], Path::new("/evil")).run();
        let done = run(&batch).failed_saying(&["leads out of the folder", "it ended at byte 5, of 10"]);
        assert_eq!(done.code(), 1);
        assert!(!done.stderr.contains('\u{1b}'));
        // The file that was cut short has no name yet, and nothing lies anywhere else.
        assert_eq!(
            (names(&site.here), names(&site.here.join("evil"))),
            (vec!["evil".into()], vec!["file-good.part".into()])
        );
        assert!(!Path::new("/tmp/file-absolute").exists() && !site.world.path("file-up").exists());
        // Words for the terminal are made harmless, and what is no SFTP ends the session.
        let done = run(&site.batch("rm file")).failed_saying(&["way"]);
        assert!(!done.stderr.contains('\u{1b}') && !done.stderr.contains('\u{7}'));
        let _ = run(&site.batch("rmdir x\nls")).failed_saying(&["broke the SFTP protocol"]);
    });
}
