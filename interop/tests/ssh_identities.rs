//! `wharf ssh` and OpenSSH's server: certificates of users, the agent that is forwarded, and `-W`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;

use wharf_interop::{Program, Running, Sshd, Tap, World, in_namespace};

use crate::ssh::{ssh, wait_for};

/// A device, and an authority that the servers believe about users.
struct Site<'a> {
    world: &'a World,
    tap: Tap,
    authority: PathBuf,
}

impl<'a> Site<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, tap: world.tap(), authority: world.ssh_key("authority", "ed25519", "") }
    }

    fn sshd(&self, port: u16, more: &str) -> Sshd<'a> {
        let key = self.world.path("host");
        if !key.exists() {
            let _ = self.world.ssh_key("host", "ed25519", "");
        }
        let trusted = format!("TrustedUserCAKeys {}.pub\nPasswordAuthentication no\n{more}", self.authority.display());
        Sshd::start(self.world, self.tap.address, port, &[&key], &trusted)
    }

    /// A new key with a certificate for `name`, beside it as ssh-keygen puts it.
    fn certified(&self, key: &str, kind: &str, name: &str, validity: &str) -> PathBuf {
        let file = self.world.ssh_key(key, kind, "");
        let (authority, public) = (self.authority.to_string_lossy(), file.with_extension("pub"));
        let public = public.to_string_lossy();
        self.world.ssh_keygen(&["-q", "-s", &authority, "-I", "test", "-n", name, "-V", validity, &public]);
        file
    }

    fn ssh(&self, sshd: &Sshd<'_>, options: &[&str], command: &[&str]) -> Program<'a> {
        ssh(self.world, &self.tap, sshd, &[&["--accept-new"], options].concat(), command)
    }

    /// An agent that holds `keys`, and its socket.
    fn agent(&self, keys: &[&Path]) -> (Running, String) {
        let socket = self.world.path("agent").to_string_lossy().into_owned();
        let agent = Program::new(self.world, "ssh-agent").arguments(&["-D", "-a", &socket]).start();
        wait_for(|| Path::new(&socket).exists(), "the agent's socket");
        for key in keys {
            let add = Program::new(self.world, "ssh-add").arguments(&["-q", &key.to_string_lossy()]);
            add.environment("SSH_AUTH_SOCK", &socket).run().expect_success();
        }
        (agent, socket)
    }
}

#[test]
fn users_come_in_by_certificates_from_files_and_from_the_agent() {
    in_namespace(|world| {
        let site = Site::new(world);
        let sshd = site.sshd(22, "");
        for kind in ["ed25519", "ecdsa", "rsa"] {
            let key = site.certified(&format!("user-{kind}"), kind, "tester", "-1h:+1d");
            site.ssh(&sshd, &["-i", &key.to_string_lossy()], &["true"]).run().expect_success();
        }
        let log = sshd.log();
        let by_certificate = |line: &&str| line.starts_with("Accepted publickey") && line.contains("-CERT SHA256:");
        assert_eq!(log.lines().filter(by_certificate).count(), 3, "{log}");
        // Elsewhere than beside its key it has to be named.
        let key = world.path("user-ed25519");
        let moved = world.path("moved-cert.pub");
        fs::rename(world.path("user-ed25519-cert.pub"), &moved).unwrap();
        let key_text = key.to_string_lossy().into_owned();
        let _ = site.ssh(&sshd, &["-i", &key_text], &["true"]).run().failed_saying(&["not let in"]);
        let named = format!("CertificateFile={}", moved.display());
        site.ssh(&sshd, &["-i", &key_text, "-o", &named], &["true"]).run().expect_success();
        // One for somebody else, and one of the past.
        let other = site.certified("other", "ed25519", "somebody", "-1h:+1d");
        let refused = site.ssh(&sshd, &["-i", &other.to_string_lossy()], &["true"]).run();
        assert_eq!(refused.failed_saying(&["with a certificate"]).code(), 255);
        let past = site.certified("past", "ed25519", "tester", "20200101:20210101");
        let _ = site.ssh(&sshd, &["-i", &past.to_string_lossy()], &["true"]).run().failed_saying(&["it has expired"]);
        // ssh-add takes the certificate along with its key.
        let (_agent, socket) = site.agent(&[&world.path("user-rsa"), &world.path("user-ecdsa")]);
        let by_agent = site.ssh(&sshd, &[], &["true"]).environment("SSH_AUTH_SOCK", &socket);
        by_agent.run().expect_success();
    });
}

#[test]
fn an_agent_is_asked_from_there_only_if_it_was_forwarded() {
    in_namespace(|world| {
        let site = Site::new(world);
        let sshd = site.sshd(22, "");
        let key = world.ssh_key("user", "ed25519", "");
        world.authorize(&key);
        let (_agent, socket) = site.agent(&[&key]);
        let ask = |options: &[&str], sshd: &Sshd<'_>| {
            site.ssh(sshd, options, &["ssh-add -l || echo none"]).environment("SSH_AUTH_SOCK", &socket).run()
        };
        let done = ask(&[], &sshd).succeeded();
        assert!(done.stdout.contains("none"), "{done}");
        for options in [&["-A"][..], &["-o", "ForwardAgent=yes"], &["-o", "ForwardAgent=$SSH_AUTH_SOCK"]] {
            let done = ask(options, &sshd).succeeded();
            assert!(done.stdout.contains("(ED25519)"), "{done}");
        }
        let done = ask(&["-a", "-o", "ForwardAgent=yes"], &sshd).succeeded();
        assert!(done.stdout.contains("none"), "{done}");
        // A server that does not allow it is named, and the command runs all the same.
        let strict = site.sshd(2201, "AllowAgentForwarding no");
        let done = ask(&["-A"], &strict).succeeded();
        assert!(done.stdout.contains("none") && done.stderr.contains("does not let programs there ask"), "{done}");
        // Without one there is nothing to forward.
        let done = site.ssh(&sshd, &["-A", "-i", &key.to_string_lossy()], &["true"]).run();
        assert_eq!(done.failed_saying(&["no agent to forward"]).code(), 255);
    });
}

#[test]
fn standard_input_and_output_are_joined_with_a_place_beyond_the_server() {
    in_namespace(|world| {
        let site = Site::new(world);
        let sshd = site.sshd(22, "");
        let key = world.ssh_key("user", "ed25519", "");
        world.authorize(&key);
        let key = key.to_string_lossy().into_owned();
        // It hears all that is said, up to the end, and only then answers.
        let listener = TcpListener::bind("10.9.0.1:0").unwrap();
        let there = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut heard = Vec::new();
                let _ = stream.read_to_end(&mut heard).and_then(|_| stream.write_all(&heard));
            }
        });
        let text: String = (0..200_000).map(|number| format!("{number}\n")).collect();
        let done = site.ssh(&sshd, &["-i", &key, "-W", &there], &[]).input(text.as_bytes()).run().succeeded();
        assert!(done.stdout == text, "{} of {} bytes came back", done.stdout.len(), text.len());
        let done = site.ssh(&sshd, &["-i", &key, "-W", "10.9.0.1:9"], &[]).run();
        assert_eq!(done.failed_saying(&["10.9.0.1 port 9", "refused"]).code(), 255);
        // OpenSSH's own client goes through it, to a server behind.
        let inner = site.sshd(2201, "");
        let known = world.path("known_hosts").to_string_lossy().into_owned();
        let link = site.tap.by_hand().join(" ");
        let binary = world.binary().to_string_lossy().into_owned();
        let proxy = format!(
            "ProxyCommand={binary} ssh -F none -o UserKnownHostsFile={known} {link} -i {key} -W %h:%p {}",
            sshd.target()
        );
        let done = Program::new(world, "ssh")
            .arguments(&["-F", "none", "-i", &key, "-p", &inner.port(), "-o", &proxy])
            .arguments(&["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
            .arguments(&[&inner.target(), "echo through; exit 6"])
            .environment("SSH_AUTH_SOCK", "")
            .run();
        assert_eq!((done.code(), &*done.stdout), (6, "through\n"), "{done}");
    });
}
