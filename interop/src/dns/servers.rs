//! Name servers that tests start: named, knotd and unbound.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

use super::zones::Zone;
use crate::daemon::Daemon;
use crate::peers::find;
use crate::world::World;

/// A server of zones.
pub struct Server<'a> {
    world: &'a World,
    daemon: usize,
}

impl<'a> Server<'a> {
    /// BIND's named on port 53 of `address`, with these zones; of others it refuses to speak.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn named(world: &'a World, address: Ipv4Addr, zones: &[&Zone]) -> Self {
        let directory = world.make_directory("named");
        let at = directory.display();
        let mut text = format!(
            "options {{ directory \"{at}\"; pid-file none; session-keyfile none; listen-on {{ {address}; }};
             listen-on-v6 {{ none; }}; recursion no; allow-query {{ any; }}; dnssec-validation no; notify no;
             allow-transfer {{ none; }}; empty-zones-enable no; lock-file none; }};
             controls {{ }};
             logging {{ channel all {{ stderr; severity info; print-time yes; }}; category default {{ all; }};
             category queries {{ all; }}; }};\n"
        );
        for zone in zones {
            let _ = writeln!(
                text,
                "zone \"{}\" {{ type primary; check-names ignore; file \"{}\"; }};",
                zone.name(),
                zone.file().display()
            );
        }
        let file = directory.join("named.conf");
        fs::write(&file, text).expect("the test's directory takes files");
        let mut command = Command::new(find("named"));
        command.args(["-g", "-n", "1", "-c"]).arg(file);
        let daemon = Daemon::start(&mut command, world.path("named.log"), |log| {
            log.contains(": running") || log.contains(" running\n")
        });
        Self { world, daemon: world.keep(daemon) }
    }

    /// knotd on port 53 of `address`, with these zones; of others it refuses to speak.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn knot(world: &'a World, address: Ipv4Addr, zones: &[&Zone]) -> Self {
        let directory = world.make_directory("knot");
        let at = directory.display();
        let mut text = format!(
            "server:\n  rundir: \"{at}\"\n  listen: {address}@53\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
             database:\n  storage: \"{at}\"\n\
             log:\n  - target: stderr\n    any: info\n\
             template:\n  - id: default\n    storage: \"{at}\"\n    semantic-checks: off\n    journal-content: none\n    zonefile-sync: -1\n\
             zone:\n"
        );
        for zone in zones {
            let _ = writeln!(text, "  - domain: {}\n    file: \"{}\"", zone.name(), zone.file().display());
        }
        let file = directory.join("knot.conf");
        fs::write(&file, text).expect("the test's directory takes files");
        let mut command = Command::new(find("knotd"));
        command.arg("-c").arg(file);
        let count = zones.len();
        let daemon = Daemon::start(&mut command, world.path("knot.log"), |log| {
            // The control socket comes last, and without it the server does not stay.
            log.contains("server started") && log.contains("control, binding") && log.matches("loaded").count() >= count
        });
        Self { world, daemon: world.keep(daemon) }
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.world.with_daemon(self.daemon, |daemon| daemon.log())
    }

    /// Kills the server: from now on nobody answers.
    pub fn kill(&self) {
        self.world.with_daemon(self.daemon, Daemon::kill);
    }
}

/// unbound, which looks names up for others: over UDP and TCP at port 53, over TLS at 853, over HTTPS at 443.
pub struct Unbound<'a> {
    world: &'a World,
    daemon: usize,
}

impl<'a> Unbound<'a> {
    /// Starts it on `address`; it begins at `root`, validates by `anchor` if there is one, and shows a certificate of
    /// the world's authority for `names`.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start(world: &'a World, address: Ipv4Addr, root: Ipv4Addr, anchor: Option<&Zone>, names: &[&str]) -> Self {
        let directory = world.make_directory("unbound");
        let path = |name: &str| directory.join(name);
        let identity = world.authority().issue(names);
        let write = |name: &str, text: &str| fs::write(path(name), text).expect("the test's directory takes files");
        write("server.pem", &identity.certificate_pem);
        write("server.key", &identity.key_pem);
        write("hints", &format!(". 3600 NS ns.\nns. 3600 A {root}\n"));
        let at = directory.display();
        let modules = if anchor.is_some() { "validator iterator" } else { "iterator" };
        let mut text = format!(
            "server:\n  directory: \"{at}\"\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  do-daemonize: no\n\
             \x20 verbosity: 1\n  log-queries: yes\n  num-threads: 1\n  interface: {address}@53\n  interface: {address}@853\n\
             \x20 interface: {address}@443\n  tls-service-key: \"{at}/server.key\"\n  tls-service-pem: \"{at}/server.pem\"\n\
             \x20 access-control: 0.0.0.0/0 allow\n  do-ip6: no\n  root-hints: \"{at}/hints\"\n  module-config: \"{modules}\"\n\
             \x20 do-not-query-localhost: no\n  outgoing-interface: {address}\n"
        );
        if let Some(anchor) = anchor {
            let _ = writeln!(text, "  trust-anchor-file: \"{}\"", anchor.anchor().display());
        }
        // RFC 6761 section 6.2 has it that `test` is nobody's; here it is ours.
        text += "  local-zone: \"test.\" nodefault\n";
        text += "remote-control:\n  control-enable: no\n";
        write("unbound.conf", &text);
        let mut command = Command::new(find("unbound"));
        command.arg("-d").arg("-p").arg("-c").arg(path("unbound.conf"));
        let daemon = Daemon::start(&mut command, world.path("unbound.log"), |log| log.contains("start of service"));
        Self { world, daemon: world.keep(daemon) }
    }

    /// What it has logged: each query it was asked, for one.
    #[must_use]
    pub fn log(&self) -> String {
        self.world.with_daemon(self.daemon, |daemon| daemon.log())
    }
}
