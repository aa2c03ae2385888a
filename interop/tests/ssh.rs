//! `wharf ssh` and OpenSSH's server over TAP.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use wharf_interop::{PASSWORD, Payload, Program, Sshd, Tap, Typist, World, in_namespace};

/// The options that every call has: the link, no configuration, the known hosts of the world.
fn options_of(world: &World, tap: &Tap) -> Vec<String> {
    let mut options = tap.by_hand().to_vec();
    let known = format!("UserKnownHostsFile={}", world.path("known_hosts").display());
    options.extend(["-F", "none", "-o", &known, "-o", "GlobalKnownHostsFile=none"].map(str::to_owned));
    options
}

/// `wharf ssh` over `tap` with `options`, to `sshd`, and the command.
pub(crate) fn ssh<'a>(world: &'a World, tap: &Tap, sshd: &Sshd<'_>, options: &[&str], command: &[&str]) -> Program<'a> {
    let common = options_of(world, tap);
    let (port, target) = (sshd.port(), sshd.target());
    let mut arguments = vec!["ssh"];
    arguments.extend(common.iter().map(String::as_str));
    arguments.extend(["-p", &port]);
    arguments.extend(options);
    arguments.push(&target);
    arguments.extend(command);
    // Neither the agent nor the home of who runs the tests has a part in them.
    let home = world.path("nobody");
    world.wharf(&arguments).environment("SSH_AUTH_SOCK", "").environment("HOME", &home.to_string_lossy())
}

/// A world with a TAP device, a key that is let in, and a known_hosts file of its own.
struct Site<'a> {
    world: &'a World,
    tap: Tap,
    key: PathBuf,
    known_hosts: PathBuf,
}

impl<'a> Site<'a> {
    fn new(world: &'a World) -> Self {
        let tap = world.tap();
        let key = world.ssh_key("user", "ed25519", "");
        world.authorize(&key);
        Self { world, tap, key, known_hosts: world.path("known_hosts") }
    }

    fn address(&self) -> Ipv4Addr {
        self.tap.address
    }

    /// A server on port 22 with one Ed25519 key.
    fn sshd(&self, more: &str) -> Sshd<'a> {
        let key = self.world.ssh_key("host", "ed25519", "");
        Sshd::start(self.world, self.address(), 22, &[&key], more)
    }

    /// `wharf ssh` with `options`, to `sshd`, and the command.
    fn program(&self, sshd: &Sshd<'_>, options: &[&str], command: &[&str]) -> Program<'a> {
        ssh(self.world, &self.tap, sshd, options, command)
    }

    /// The same with the key, believing a new host.
    fn trusting(&self, sshd: &Sshd<'_>, options: &[&str], command: &[&str]) -> Program<'a> {
        let key = self.key.to_string_lossy().into_owned();
        let mut all = vec!["--accept-new", "-i", &key];
        all.extend(options);
        self.program(sshd, &all, command)
    }

    fn know(&self, line: &str) {
        fs::write(&self.known_hosts, format!("{line}\n")).unwrap();
    }
}

fn public(key: &Path) -> String {
    fs::read_to_string(key.with_extension("pub")).unwrap().trim().to_owned()
}

/// The fingerprint of a public key, as ssh-keygen -l tells it.
fn fingerprint(world: &World, key: &Path) -> String {
    let listed = Program::new(world, "ssh-keygen").arguments(&["-l", "-f", &key.to_string_lossy()]).run().succeeded();
    listed.stdout.split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn a_command_has_its_three_streams_and_its_status_with_each_kind_of_host_key() {
    in_namespace(|world| {
        let site = Site::new(world);
        for (port, kind) in [(22, "ed25519"), (2201, "ecdsa"), (2202, "rsa")] {
            let key = world.ssh_key(&format!("host-{kind}"), kind, "");
            let sshd = Sshd::start(world, site.address(), port, &[&key], "");
            for _ in 0..2 {
                // The first time the host is new, the second time it is known.
                let command = ["cat; echo to the side >&2; exit 7"];
                let done = site.trusting(&sshd, &[], &command).input(b"to be read\n").run();
                assert_eq!(done.code(), 7, "{done}");
                assert_eq!(done.stdout, "to be read\n");
                assert!(done.stderr.contains("to the side\n"));
            }
            let known = fs::read_to_string(&site.known_hosts).unwrap();
            let line = known.lines().find(|line| line.starts_with(&format!("{} ", sshd.name()))).unwrap();
            assert!(public(&key).contains(line.split_once(' ').unwrap().1), "{line}");
        }
        assert_eq!(fs::read_to_string(&site.known_hosts).unwrap().lines().count(), 3);
    });
}

#[test]
fn user_keys_of_every_kind_and_from_the_agent_open_the_door() {
    in_namespace(|world| {
        let site = Site::new(world);
        let sshd = site.sshd("PasswordAuthentication no");
        for kind in ["ed25519", "ecdsa", "rsa"] {
            let key = world.ssh_key(&format!("user-{kind}"), kind, "");
            world.authorize(&key);
            let key = key.to_string_lossy().into_owned();
            site.program(&sshd, &["--accept-new", "-i", &key], &["true"]).run().expect_success();
        }
        // An encrypted key: without a person to ask it is of no use, and says so.
        let locked = world.ssh_key("user-locked", "ed25519", "open sesame");
        world.authorize(&locked);
        let locked = locked.to_string_lossy().into_owned();
        let _ = site.program(&sshd, &["-i", &locked], &["true"]).run().failed_saying(&["encrypted", "not let in"]);
        let mut person = Typist::start(site.program(&sshd, &["-i", &locked], &["echo", "in"]));
        person.expect("Passphrase of");
        person.type_in("wrong\n");
        person.expect("not its passphrase");
        person.expect("Passphrase of");
        assert!(!person.echoes());
        person.type_in("open sesame\n");
        person.expect("in");
        assert!(person.wait().success());
        assert!(person.echoes() && !person.shown().contains("sesame"));
        // The agent holds the same key, opened.
        let socket = world.path("agent").to_string_lossy().into_owned();
        let _agent = Program::new(world, "ssh-agent").arguments(&["-D", "-a", &socket]).start();
        wait_for(|| Path::new(&socket).exists(), "the agent's socket");
        let asks = world.path("askpass");
        fs::write(&asks, "#!/bin/sh\necho open sesame\n").unwrap();
        Program::new(world, "chmod").arguments(&["+x", &asks.to_string_lossy()]).run().expect_success();
        Program::new(world, "ssh-add")
            .arguments(&[&locked])
            .environment("SSH_AUTH_SOCK", &socket)
            .environment("SSH_ASKPASS", &asks.to_string_lossy())
            .environment("SSH_ASKPASS_REQUIRE", "force")
            .run()
            .expect_success();
        site.program(&sshd, &[], &["true"]).environment("SSH_AUTH_SOCK", &socket).run().expect_success();
        // No key at all.
        let failed =
            site.program(&sshd, &[], &["true"]).run().failed_saying(&["not let in", "publickey", "no key was found"]);
        assert_eq!(failed.code(), 255);
    });
}

/// Waits until `condition` holds.
pub(crate) fn wait_for(mut condition: impl FnMut() -> bool, what: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "{what} does not come about");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn an_unknown_host_is_asked_about_and_a_changed_or_revoked_key_stops_everything() {
    in_namespace(|world| {
        let site = Site::new(world);
        let sshd = site.sshd("");
        let host = world.path("host");
        let print = fingerprint(world, &host);
        let key = site.key.to_string_lossy().into_owned();
        // Nobody can be asked: what to do is said, and nothing is remembered.
        let failed = site.program(&sshd, &["-i", &key], &["true"]).run();
        let failed = failed.failed_saying(&["not known", &print, "--accept-new"]);
        assert_eq!(failed.code(), 255);
        assert!(!site.known_hosts.exists());
        // A person says no, then yes.
        for (answer, comes_in) in [("no", false), ("yes", true)] {
            let mut person = Typist::start(site.program(&sshd, &["-i", &key], &["echo", "inside"]));
            person.expect(&print);
            person.expect("yes/no");
            person.type_in("perhaps\n");
            person.expect("Please type yes");
            person.type_in(&format!("{answer}\n"));
            assert_eq!(person.wait().success(), comes_in, "{}", person.shown());
            assert_eq!(person.shown().contains("inside"), comes_in);
        }
        assert_eq!(fs::read_to_string(&site.known_hosts).unwrap(), format!("{} {}\n", sshd.name(), shortened(&host)));
        // Hashed by ssh-keygen it is found again; the strict policy is content.
        world.ssh_keygen(&["-q", "-H", "-f", &site.known_hosts.to_string_lossy()]);
        assert!(!fs::read_to_string(&site.known_hosts).unwrap().contains(&sshd.name()));
        site.program(&sshd, &["-i", &key, "-o", "StrictHostKeyChecking=yes"], &["true"]).run().expect_success();
        // What we hash, ssh-keygen finds.
        fs::remove_file(&site.known_hosts).unwrap();
        site.trusting(&sshd, &["-o", "HashKnownHosts=yes"], &["true"]).run().expect_success();
        let known = site.known_hosts.to_string_lossy().into_owned();
        let found = Program::new(world, "ssh-keygen").arguments(&["-F", &sshd.name(), "-f", &known]).run().succeeded();
        assert!(found.stdout.contains("ssh-ed25519"));
        // A changed key: both fingerprints, file and line, even where new hosts are believed.
        let other = world.ssh_key("other", "ed25519", "");
        site.know(&format!("# first\n{} {}", sshd.name(), public(&other)));
        let failed = site.trusting(&sshd, &[], &["true"]).run();
        let place = format!("{}:2", site.known_hosts.display());
        let failed = failed.failed_saying(&["CHANGED", &print, &fingerprint(world, &other), &place]);
        assert_eq!(failed.code(), 255);
        // Revoked, though known as well.
        site.know(&format!("{} {}\n@revoked * {}", sshd.name(), public(&host), public(&host)));
        let _ = site.trusting(&sshd, &[], &["true"]).run().failed_saying(&["revoked", &print]);
    });
}

/// A public key without its comment.
fn shortened(key: &Path) -> String {
    public(key).split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_authority_vouches_for_a_host_by_certificate() {
    in_namespace(|world| {
        let site = Site::new(world);
        let authority = world.ssh_key("authority", "ed25519", "");
        let ca = authority.to_string_lossy().into_owned();
        let host = world.ssh_key("host", "ecdsa", "");
        let certify = |name: &str, validity: &str| {
            let host = host.with_extension("pub");
            let host = host.to_string_lossy();
            world.ssh_keygen(&["-q", "-s", &ca, "-I", "test", "-h", "-n", name, "-V", validity, &host]);
            let to = world.path(&format!("{}-{}", name, validity.replace(':', "-")));
            fs::rename(world.path("host-cert.pub"), &to).unwrap();
            to
        };
        let address = site.address().to_string();
        site.know(&format!("@cert-authority *,[*]:* {}", public(&authority)));
        let cases = [
            (22, certify(&address, "-1h:+1d"), ""),
            (2201, certify("elsewhere", "-1h:+1d"), "it is for elsewhere"),
            (2202, certify(&address, "20200101:20210101"), "expired"),
        ];
        for (port, certificate, why) in cases {
            let more = format!("HostCertificate {}", certificate.display());
            let sshd = Sshd::start(world, site.address(), port, &[&host], &more);
            let key = site.key.to_string_lossy().into_owned();
            let done = site.program(&sshd, &["-i", &key, "-o", "StrictHostKeyChecking=yes"], &["true"]).run();
            if why.is_empty() {
                done.expect_success();
            } else {
                let _ = done.failed_saying(&["certificate", why]);
            }
        }
    });
}

#[test]
fn a_password_is_typed_unseen_and_the_terminal_is_restored() {
    in_namespace(|world| {
        let site = Site::new(world);
        let sshd = site.sshd("PubkeyAuthentication no");
        let mut person = Typist::start(site.program(&sshd, &["--accept-new"], &["echo", "in"]));
        person.expect("Password of");
        person.type_in("wrong\n");
        person.expect("Password of");
        assert!(!person.echoes());
        person.type_in(&format!("{PASSWORD}\n"));
        person.expect("in");
        assert!(person.wait().success());
        assert!(person.echoes() && !person.shown().contains(PASSWORD));
        // Ctrl-C at the question, and a signal: the terminal is as it was.
        for _ in 0..2 {
            let mut person = Typist::start(site.program(&sshd, &[], &["true"]));
            person.expect("Password of");
            person.type_in("\u{3}");
            assert_eq!(person.wait().code(), Some(255), "{}", person.shown());
            assert!(person.echoes());
        }
    });
}

#[test]
fn keys_are_exchanged_anew_in_the_middle_of_a_transfer_with_every_cipher() {
    in_namespace(|world| {
        let site = Site::new(world);
        let size = 64 << 20;
        let mut bytes = vec![0; size];
        Payload::new(7).fill(&mut bytes);
        let sshd = site.sshd("RekeyLimit 4M");
        let copy = world.path("copy");
        let done = site.trusting(&sshd, &[], &[&format!("tee {}", copy.display())]).input(&bytes);
        let running = done.start();
        let echoed = running.stdout_file();
        running.wait().expect_success();
        assert!(fs::read(&copy).unwrap() == bytes, "what arrived differs");
        assert!(fs::read(echoed).unwrap() == bytes, "what came back differs");
        assert!(sshd.log().matches("SSH2_MSG_KEXINIT received").count() > 10, "{}", sshd.log());
        // Ours ask for it too, and every cipher that is offered works.
        let ciphers = [
            "aes256-gcm@openssh.com",
            "aes128-gcm@openssh.com",
            "chacha20-poly1305@openssh.com",
            "aes256-ctr",
            "aes192-ctr",
            "aes128-ctr",
        ];
        for (port, cipher) in (2201..).zip(ciphers) {
            let key = world.path("host");
            let sshd = Sshd::start(world, site.address(), port, &[&key], &format!("Ciphers {cipher}"));
            let options = ["-o", "RekeyLimit=256K"];
            let done = site.trusting(&sshd, &options, &["head -c 3000000 /dev/zero | tr '\\0' x"]).run().succeeded();
            assert!(done.stdout.len() == 3_000_000 && done.stdout.bytes().all(|byte| byte == b'x'), "{cipher}");
            assert!(sshd.log().contains(cipher) && sshd.log().matches("SSH2_MSG_KEXINIT received").count() > 2);
        }
    });
}

#[test]
fn sha_1_is_refused_unless_asked_for() {
    in_namespace(|world| {
        let site = Site::new(world);
        let sshd = site.sshd("KexAlgorithms diffie-hellman-group14-sha1\nMACs hmac-sha1\nCiphers aes128-ctr");
        let _ = site.trusting(&sshd, &[], &["true"]).run().failed_saying(&["key exchange", "sha1", "--legacy"]);
        site.trusting(&sshd, &["--legacy"], &["true"]).run().expect_success();
    });
}

#[test]
fn no_kernel_socket_is_opened_for_ssh() {
    in_namespace(|world| {
        let site = Site::new(world);
        let sshd = site.sshd("");
        site.trusting(&sshd, &[], &["true"]).run().expect_success();
        let mut arguments = vec!["ssh".to_owned()];
        arguments.extend(options_of(world, &site.tap));
        arguments.extend([
            "-i".to_owned(),
            site.key.to_string_lossy().into_owned(),
            sshd.target(),
            "exit 5".to_owned(),
        ]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (program, trace) = world.wharf_traced("socket,socketpair", &arguments);
        assert_eq!(program.run().code(), 5);
        let trace = fs::read_to_string(trace).unwrap();
        assert!(!trace.contains("AF_INET"), "{trace}");
    });
}

#[test]
fn a_terminal_has_its_size_and_its_modes_and_follows_the_window() {
    in_namespace(|world| {
        let site = Site::new(world);
        let sshd = site.sshd("");
        let mut person = Typist::start(site.trusting(&sshd, &[], &[]));
        // A shell with a terminal. Its prompt is `$ `.
        person.expect("$ ");
        person.type_in("stty size; echo $TERM\n");
        person.expect("24 80");
        person.expect("xterm");
        person.resize(132, 43);
        // The news of the size travels; the shell is asked until it has come.
        person.type_in("until [ \"$(stty size)\" = '43 132' ]; do sleep 0.1; done; echo grown $((40 + 2))\n");
        person.expect("grown 42");
        // Keys go to the remote terminal as they are: Ctrl-C ends what runs there, not this.
        person.type_in("echo run $((1 + 1)); sleep 1000\n");
        person.expect("run 2");
        person.type_in("\u{3}");
        person.expect("$ ");
        assert!(!person.echoes(), "the terminal here is raw");
        person.type_in("exit 9\n");
        assert_eq!(person.wait().code(), Some(9), "{}", person.shown());
        assert!(person.echoes());
        // The way out when nothing else helps.
        let mut person = Typist::start(site.trusting(&sshd, &["-t"], &["cat"]));
        person.type_in("a line\n");
        person.expect("a line");
        person.type_in("~.");
        assert_eq!(person.wait().code(), Some(255));
        assert!(person.echoes());
        // Where there is no terminal here, two -t ask for one there.
        let done = site.trusting(&sshd, &["-t", "-t"], &["tty"]).run().succeeded();
        assert!(done.stdout.contains("/dev/pts"), "{done}");
        let _ = site.trusting(&sshd, &["-t"], &["tty"]).run().failed_saying(&[""]);
    });
}

#[test]
fn signals_cross_and_a_death_by_signal_is_told() {
    in_namespace(|world| {
        let site = Site::new(world);
        let sshd = site.sshd("");
        let done = site.trusting(&sshd, &[], &["kill -TERM $$"]).run().failed_saying(&["SIGTERM"]);
        assert_eq!(done.code(), 255);
        // An interrupt here is one there; what the program makes of it is its own affair.
        let command = "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.1; done";
        let running = site.trusting(&sshd, &[], &[command]).start();
        wait_for(|| running.stdout().contains("ready"), "the remote program");
        Program::new(world, "kill").arguments(&["-INT", &running.id().to_string()]).run().expect_success();
        let done = running.wait();
        assert_eq!((done.code(), done.stdout.contains("caught")), (4, true), "{done}");
        // A server that goes away is no end of the program.
        let running = site.trusting(&sshd, &[], &["echo ready; exec sleep 1000"]).start();
        wait_for(|| running.stdout().contains("ready"), "the remote program");
        Program::new(world, "pkill").arguments(&["-KILL", "-x", "sshd"]).run().expect_success();
        assert_eq!(running.wait().failed_saying(&["gone"]).code(), 255);
    });
}

/// Reads from `port` of this host's loopback until the other end closes.
fn read_all(address: &str) -> String {
    use std::io::Read;
    let mut text = String::new();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Says `text` to everyone who connects to `address`.
fn greeter(address: &str, text: &'static str) -> u16 {
    use std::io::Write;
    let listener = std::net::TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(text.as_bytes());
        }
    });
    port
}

#[test]
fn ports_lead_through_the_session_both_ways_and_by_socks() {
    in_namespace(|world| {
        use std::io::{Read, Write};
        let site = Site::new(world);
        let sshd = site.sshd("");
        let there = greeter("10.9.0.1:0", "from there");
        let here = greeter("127.0.0.1:0", "from here");
        let local = format!("4001:10.9.0.1:{there}");
        let remote = format!("4002:localhost:{here}");
        // Not on localhost: that is reached over Wharf's own network.
        let beyond = format!("4003:10.9.0.1:{there}");
        let closed = "4004:10.9.0.1:9";
        let options = ["-N", "-L", &local, "-L", closed, "-R", &remote, "-R", &beyond, "-D", "4005"];
        let running = site.trusting(&sshd, &options, &[]).start();
        let opens = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        wait_for(|| opens(4001) && opens(4005), "the local ports");
        assert_eq!(read_all("127.0.0.1:4001"), "from there");
        wait_for(|| opens(4002) && opens(4003), "the remote ports");
        assert_eq!(read_all("127.0.0.1:4002"), "from here");
        assert_eq!(read_all("127.0.0.1:4003"), "from there");
        assert_eq!(read_all("127.0.0.1:4004"), "", "nobody is there");
        wait_for(|| running.stderr().contains("refused"), "the reason");
        let mut socks = std::net::TcpStream::connect("127.0.0.1:4005").unwrap();
        let mut request = b"\x05\x01\x00\x05\x01\x00\x01\x0a\x09\x00\x01".to_vec();
        request.extend(there.to_be_bytes());
        socks.write_all(&request).unwrap();
        let mut answer = Vec::new();
        socks.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0from there");
        // Many at once, and more than a window each way.
        let echo = std::net::TcpListener::bind("10.9.0.1:4100").unwrap();
        std::thread::spawn(move || {
            for stream in echo.incoming() {
                std::thread::spawn(move || {
                    let stream = stream.unwrap();
                    let _ = std::io::copy(&mut &stream, &mut &stream);
                });
            }
        });
        Program::new(world, "kill").arguments(&["-TERM", &running.id().to_string()]).run().expect_success();
        assert_eq!(running.wait().code(), 143);
        let running = site.trusting(&sshd, &["-N", "-L", "4001:10.9.0.1:4100"], &[]).start();
        wait_for(|| opens(4001), "the local port");
        let length = world.amount(32 << 20) / 8;
        let threads: Vec<_> = (0..4_u64)
            .map(|seed| {
                std::thread::spawn(move || {
                    let stream = std::net::TcpStream::connect("127.0.0.1:4001").unwrap();
                    let mut writer = stream.try_clone().unwrap();
                    let writing = std::thread::spawn(move || {
                        Payload::new(seed).write_to(&mut writer, length).unwrap();
                        writer.shutdown(std::net::Shutdown::Write).unwrap();
                    });
                    Payload::new(seed).check_to_end(&mut &stream, length).unwrap();
                    writing.join().unwrap();
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop(running);
        // A port that cannot be had, where that matters.
        let options = ["-o", "ExitOnForwardFailure=yes", "-L", &format!("{here}:localhost:1")];
        let _ = site.trusting(&sshd, &options, &["true"]).run().failed_saying(&["cannot be had"]);
    });
}

#[test]
fn a_host_is_reached_through_others_and_by_its_entry_in_ssh_config() {
    in_namespace(|world| {
        let site = Site::new(world);
        let gate = site.sshd("");
        let inner_key = world.ssh_key("inner", "ed25519", "");
        // Only the gate's own loopback leads to it.
        let inner = Sshd::start(world, Ipv4Addr::LOCALHOST, 2200, &[&inner_key], "");
        let config = world.path("config");
        let text = format!(
            "Host gate\n  HostName {}\nHost inside\n  HostName 127.0.0.1\n  Port {}\n  ProxyJump gate\n\
             Host *\n  User tester\n  IdentityFile {}\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n\
             StrictHostKeyChecking accept-new\n  NoSuchWord 1\n",
            site.address(),
            inner.port(),
            site.key.display(),
            site.known_hosts.display()
        );
        fs::write(&config, text).unwrap();
        let config = config.to_string_lossy().into_owned();
        let by_hand = site.tap.by_hand();
        let run = |words: &[&str]| {
            let mut arguments = vec!["ssh"];
            arguments.extend(by_hand.iter().map(String::as_str));
            arguments.extend(["-F", &config]);
            arguments.extend(words);
            world.wharf(&arguments).environment("SSH_AUTH_SOCK", "").run()
        };
        let done = run(&["inside", "echo $SSH_CONNECTION"]).succeeded();
        assert!(done.stdout.starts_with("127.0.0.1 ") && done.stdout.trim().ends_with("127.0.0.1 2200"), "{done}");
        assert!(done.stderr.contains("nosuchword"), "{done}");
        assert!(gate.log().contains("direct-tcpip"));
        // Twice through the gate, named on the command line.
        let target = "tester@127.0.0.1";
        let done = run(&["-J", "gate,tester@10.9.0.1", "-p", "2200", target, "exit 6"]);
        assert_eq!(done.code(), 6, "{done}");
        let known = fs::read_to_string(&site.known_hosts).unwrap();
        assert!(known.contains("[127.0.0.1]:2200 ") && known.contains("10.9.0.1 "), "{known}");
        let _ = run(&["-J", "gate", "-p", "9", target, "true"]).failed_saying(&["refused", "port 9"]);
        let _ = run(&["10.9.0.66", "true"]).failed_saying(&["10.9.0.66", "arp|answer"]);
        let _ = run(&["-p", "9", "10.9.0.1", "true"]).failed_saying(&["10.9.0.1 port 9", "refused"]);
    });
}
