//! OpenSSH's server, with an account of its own.
//!
//! sshd runs in a user namespace inside the test's, as the user whom it serves: there it needs no right that an ordinary
//! user lacks, and drops none. Its account and password stand in a passwd file that covers the system's.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::daemon::Daemon;
use crate::program::Program;
use crate::world::World;

/// The user that [`Sshd`] serves.
pub const USER: &str = "tester";
/// The user's password.
pub const PASSWORD: &str = "a quiet harbour";

/// A running sshd.
pub struct Sshd<'a> {
    world: &'a World,
    daemon: usize,
    address: Ipv4Addr,
    port: u16,
}

impl World {
    /// Makes a key pair of the kind `kind` (`ed25519`, `ecdsa`, `rsa`), and returns the private half's file.
    ///
    /// # Panics
    ///
    /// When ssh-keygen does not.
    #[must_use]
    pub fn ssh_key(&self, name: &str, kind: &str, passphrase: &str) -> PathBuf {
        let file = self.path(name);
        self.ssh_keygen(&["-q", "-t", kind, "-N", passphrase, "-C", name, "-f", &file.to_string_lossy()]);
        file
    }

    /// Runs ssh-keygen.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn ssh_keygen(&self, arguments: &[&str]) {
        Program::new(self, "ssh-keygen").arguments(arguments).run().expect_success();
    }

    /// The home of [`USER`], whose account is made the first time.
    fn ssh_account(&self) -> PathBuf {
        let home = self.path("home");
        if home.exists() {
            return home;
        }
        fs::create_dir(&home).expect("the test's directory takes directories");
        let hashed = Program::new(self, "openssl").arguments(&["passwd", "-6", PASSWORD]).run().succeeded().stdout;
        let passwd = format!(
            "root:x:0:0::/root:/bin/sh\nsshd:x:102:65534::/run/sshd:/bin/false\n{USER}:{}:1000:1000::{}:/bin/sh\n",
            hashed.trim(),
            home.display()
        );
        self.cover("/etc/passwd", &passwd);
        // Without a group tty a terminal belongs to its user's group, which needs no right to change.
        self.cover("/etc/group", &format!("root:x:0:\nnogroup:x:65534:\n{USER}:x:1000:\n"));
        // Port 22 is open to a user in this network.
        fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0").expect("the namespace's own settings");
        home
    }

    /// Puts `text` in place of a file of the system, for this world.
    fn cover(&self, target: &str, text: &str) {
        let file = self.path(&target.replace('/', "-"));
        fs::write(&file, text).expect("the test's directory takes files");
        Program::new(self, "mount").arguments(&["--bind", &file.to_string_lossy(), target]).run().expect_success();
    }

    /// The file in which keys of users stand that [`Sshd`] lets in.
    fn authorized_keys(&self) -> PathBuf {
        self.path("authorized_keys")
    }

    /// Lets whoever has `key` in.
    ///
    /// # Panics
    ///
    /// When it has no public half.
    pub fn authorize(&self, key: &Path) {
        let public = fs::read_to_string(key.with_extension("pub")).expect("ssh-keygen wrote the public half");
        let file = self.authorized_keys();
        let before = fs::read_to_string(&file).unwrap_or_default();
        fs::write(file, before + &public).expect("the test's directory takes files");
    }
}

impl<'a> Sshd<'a> {
    /// Starts sshd on `address` and `port` with the host keys `keys` and further lines of its configuration.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start(world: &'a World, address: Ipv4Addr, port: u16, keys: &[&Path], more: &str) -> Self {
        let home = world.ssh_account();
        let mut configuration = format!(
            "ListenAddress {address}:{port}\nAuthorizedKeysFile {}\nUsePAM no\nStrictModes no\nPidFile none\n\
             KbdInteractiveAuthentication no\nPrintMotd no\nPrintLastLog no\nLogLevel DEBUG1\nUseDNS no\n\
             MaxStartups 100\n",
            world.authorized_keys().display(),
        );
        if !more.contains("Subsystem") {
            configuration += "Subsystem sftp internal-sftp\n";
        }
        // The first line of a word holds in sshd_config too.
        let mut configuration_of_test = format!("{more}\n");
        for key in keys {
            let _ = writeln!(configuration_of_test, "HostKey {}", key.display());
        }
        configuration.insert_str(0, &configuration_of_test);
        let file = world.path(&format!("sshd-{port}.conf"));
        fs::write(&file, configuration).expect("the test's directory takes files");
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-user=1000", "--map-group=1000", "--"])
            .arg(crate::peers::find("sshd"))
            .args(["-D", "-e", "-f"])
            .arg(file)
            .env("HOME", home);
        let daemon = Daemon::start(&mut command, world.path(&format!("sshd-{port}.log")), |log| {
            log.contains(&format!("Server listening on {address} port {port}"))
        });
        Self { world, daemon: world.keep(daemon), address, port }
    }

    /// `tester@ADDRESS`.
    #[must_use]
    pub fn target(&self) -> String {
        format!("{USER}@{}", self.address)
    }

    /// Its port, as an option's value.
    #[must_use]
    pub fn port(&self) -> String {
        self.port.to_string()
    }

    /// The name of the host in known_hosts.
    #[must_use]
    pub fn name(&self) -> String {
        if self.port == 22 { self.address.to_string() } else { format!("[{}]:{}", self.address, self.port) }
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.world.with_daemon(self.daemon, |daemon| daemon.log())
    }

    /// Kills it.
    pub fn kill(&self) {
        self.world.with_daemon(self.daemon, Daemon::kill);
    }
}
