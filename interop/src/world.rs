//! What a test finds inside its namespace, and the verbs that furnish it.

use std::cell::RefCell;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::thread;

use crate::authority::Authority;
use crate::bad_link;
use crate::daemon::Daemon;
use crate::program::Program;

/// A network with nothing in it but a loopback interface, a directory, and the daemons that a test has started.
pub struct World {
    directory: PathBuf,
    binary: PathBuf,
    daemons: RefCell<Vec<Daemon>>,
    authority: Authority,
}

/// A TAP device whose kernel side has an address: the host on the other end of Wharf's cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// The device's name, as `--link tap:NAME` takes it.
    pub name: &'static str,
    /// The kernel's address on it; the network is its /24.
    pub address: Ipv4Addr,
    /// The largest IP packet that crosses it, in bytes.
    pub mtu: u16,
}

impl Tap {
    /// The `--link` option for it.
    #[must_use]
    pub fn link(&self) -> String {
        format!("tap:{}", self.device())
    }

    /// The name of the device that Wharf opens: over a bad link the kernel's side is another.
    pub(crate) fn device(&self) -> String {
        if bad_link::is_chosen() { bad_link::Names::of(self.name).near } else { self.name.to_owned() }
    }

    /// The options by which a command uses it, with an address by hand: host 2 of the network, the kernel as gateway
    /// and DNS server.
    #[must_use]
    pub fn by_hand(&self) -> [String; 8] {
        let kernel = self.address.to_string();
        let address = format!("{}/24", self.host(2));
        ["--link", &self.link(), "--address", &address, "--gateway", &kernel, "--dns", &kernel].map(str::to_owned)
    }

    /// The host numbered `host` of the device's network.
    #[must_use]
    pub fn host(&self, host: u8) -> Ipv4Addr {
        let [a, b, c, _] = self.address.octets();
        Ipv4Addr::new(a, b, c, host)
    }
}

impl World {
    pub(crate) fn new(directory: PathBuf, binary: PathBuf) -> Self {
        let world = Self { directory, binary, daemons: RefCell::default(), authority: Authority::new() };
        fs::write(world.path("ca.pem"), world.authority.certificate_pem()).expect("the test's directory takes files");
        world.ip(&["link", "set", "lo", "up"]);
        world
    }

    /// A path in the test's own directory, which goes when the test ends.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A new directory in the test's own.
    #[must_use]
    pub fn make_directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("the test's directory takes directories");
        path
    }

    /// The certificate of [`World::authority`], in PEM.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A certificate authority that nobody trusts unless told to.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Runs ip(8).
    ///
    /// # Panics
    ///
    /// When it refuses, with its words.
    pub fn ip(&self, arguments: &[&str]) {
        Program::new(self, "ip").arguments(arguments).run().expect_success();
    }

    /// The device `tap0` with the kernel at 10.9.0.1/24 behind it.
    #[must_use]
    pub fn tap(&self) -> Tap {
        self.tap_with(Tap { name: "tap0", address: Ipv4Addr::new(10, 9, 0, 1), mtu: 1500 })
    }

    /// A TAP device as described, up, with the kernel's address on it.
    ///
    /// # Panics
    ///
    /// When the device cannot be made; an ordinary user needs a `/dev/net/tun` that all may open.
    #[must_use]
    pub fn tap_with(&self, tap: Tap) -> Tap {
        self.make_tap(tap, &[])
    }

    /// The device `tap0` as [`tap`](Self::tap) makes it, but for several queues.
    #[must_use]
    pub fn queued_tap(&self) -> Tap {
        self.make_tap(Tap { name: "tap0", address: Ipv4Addr::new(10, 9, 0, 1), mtu: 1500 }, &["multi_queue"])
    }

    fn make_tap(&self, tap: Tap, flags: &[&str]) -> Tap {
        if bad_link::is_chosen() {
            assert!(flags.is_empty(), "the bad link has one queue");
            let bad_link::Names { near, wire, bridge } = bad_link::Names::of(tap.name);
            for device in [&near, &wire] {
                self.add_tap(device, tap.mtu, &[]);
            }
            self.ip(&["link", "add", &bridge, "type", "bridge", "stp_state", "0", "mcast_snooping", "0"]);
            // It has no address, but the kernel would answer on it for those that it has elsewhere.
            self.ip(&["link", "set", &bridge, "arp", "off"]);
            self.bring_up(&bridge, tap.mtu);
            for device in [&near, &wire] {
                self.ip(&["link", "set", device, "master", &bridge]);
            }
            self.add_tap(tap.name, tap.mtu, &[]);
            bad_link::start(&wire, tap.name);
        } else {
            self.add_tap(tap.name, tap.mtu, flags);
        }
        self.ip(&["address", "add", &format!("{}/24", tap.address), "dev", tap.name]);
        tap
    }

    /// Makes a TAP device, and sets it up.
    fn add_tap(&self, name: &str, mtu: u16, flags: &[&str]) {
        let made =
            Program::new(self, "ip").arguments(&["tuntap", "add", "dev", name, "mode", "tap"]).arguments(flags).run();
        assert!(
            made.success(),
            "no TAP device can be made: {}\n/dev/net/tun must exist (modprobe tun) and, for an ordinary user, be open to \
             all (chmod 0666 /dev/net/tun, which is what udev sets on Debian).",
            made.stderr.trim()
        );
        self.bring_up(name, mtu);
    }

    /// Sets a device up that exists.
    fn bring_up(&self, name: &str, mtu: u16) {
        // A reply to a router solicitation is not part of any test: IPv6 stays quiet.
        let quiet = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
        if Path::new(&quiet).exists() {
            fs::write(&quiet, "1").expect("the namespace's own settings can be written");
        }
        self.ip(&["link", "set", name, "mtu", &mtu.to_string(), "up"]);
    }

    /// Of `usual` bytes so many as this test's link carries in a few seconds: all, or a part where it is a bad one.
    #[must_use]
    pub fn amount(&self, usual: u64) -> u64 {
        // At this loss and delay a window is nine segments on average, which is 1 Mbit/s.
        const MOST: u64 = 1 << 20;
        if bad_link::is_chosen() { usual.min(MOST) } else { usual }
    }

    /// Gives the loopback interface a further address, outside 127.0.0.0/8: what this host calls "outside", since
    /// there is nothing else.
    pub fn outside_address(&self, address: Ipv4Addr) {
        self.ip(&["address", "add", &format!("{address}/32"), "dev", "lo"]);
    }

    /// Mounts a file system in memory of `size` bytes at most, and returns where.
    #[must_use]
    pub fn small_disk(&self, size: usize) -> PathBuf {
        let at = self.make_directory("small-disk");
        let place = at.to_string_lossy().into_owned();
        Program::new(self, "mount")
            .arguments(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", &place])
            .run()
            .expect_success();
        at
    }

    /// Puts `text` where programs of this namespace look for the system's resolvers.
    pub fn resolv_conf(&self, text: &str) {
        let file = self.path("resolv.conf");
        fs::write(&file, text).expect("the test's directory takes files");
        // The name may be a link to a file of the system's resolver: that file is what gets covered.
        let target = fs::canonicalize("/etc/resolv.conf").unwrap_or_else(|_| PathBuf::from("/etc/resolv.conf"));
        let (file, target) = (file.to_string_lossy().into_owned(), target.to_string_lossy().into_owned());
        Program::new(self, "mount").arguments(&["--bind", &file, &target]).run().expect_success();
    }

    /// The file of the command under test, for programs that run it themselves.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The command under test.
    #[must_use]
    pub fn wharf(&self, arguments: &[&str]) -> Program<'_> {
        Program::new(self, &self.binary.to_string_lossy()).arguments(arguments)
    }

    /// The command under test, as strace(1) sees it with all its threads: its calls of the kind `calls` end up in
    /// the file returned.
    #[must_use]
    pub fn wharf_traced(&self, calls: &str, arguments: &[&str]) -> (Program<'_>, PathBuf) {
        let binary = self.binary.to_string_lossy();
        self.traced(calls, &binary, arguments)
    }

    /// Any program under strace(1).
    #[must_use]
    pub fn traced(&self, calls: &str, program: &str, arguments: &[&str]) -> (Program<'_>, PathBuf) {
        let trace = self.path("strace.txt");
        let program = Program::new(self, "strace")
            // Only the calls of interest stop the program; everything else runs at full speed.
            .arguments(&[
                "-f",
                "--seccomp-bpf",
                "-qq",
                "-e",
                &format!("trace={calls}"),
                "-o",
                &trace.to_string_lossy(),
                program,
            ])
            .arguments(arguments);
        (program, trace)
    }

    pub(crate) fn keep(&self, daemon: Daemon) -> usize {
        let mut daemons = self.daemons.borrow_mut();
        daemons.push(daemon);
        daemons.len() - 1
    }

    pub(crate) fn with_daemon<R>(&self, index: usize, act: impl FnOnce(&mut Daemon) -> R) -> R {
        act(&mut self.daemons.borrow_mut()[index])
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if thread::panicking() {
            for daemon in self.daemons.get_mut() {
                println!("{}", daemon.report());
            }
        }
    }
}
