//! The daemons that Wharf is tried against: nginx, dnsmasq, udhcpd. Each is bound to the namespace it runs in.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use crate::daemon::Daemon;
use crate::world::{Tap, World};

/// Where [`Web`] serves http.
pub const HTTP_PORT: u16 = 80;
/// Where [`Web`] serves https.
pub const HTTPS_PORT: u16 = 443;

/// A web server: nginx with http and https, serving the files of a directory.
pub struct Web {
    root: PathBuf,
}

impl Web {
    /// Starts nginx on `address`; its certificate, from the world's own authority, is for `names`.
    ///
    /// Besides the files, `/redirect/N` leads to `/redirect/N-1` and `/redirect/0` to `/small.txt`, and `/moved`
    /// to the same on the first of the names over https.
    ///
    /// # Panics
    ///
    /// When nginx does not start.
    #[must_use]
    pub fn start(world: &World, address: IpAddr, names: &[&str]) -> Self {
        let root = world.make_directory("www");
        fs::write(root.join("small.txt"), "small\n").expect("the test's directory takes files");
        let identity = world.authority().issue(names);
        fs::write(world.path("server.pem"), identity.certificate_pem).expect("the test's directory takes files");
        fs::write(world.path("server.key"), identity.key_pem).expect("the test's directory takes files");
        let directory = world.make_directory("nginx");
        let (at, www, files) = (directory.display(), root.display(), world.path("").display().to_string());
        let first = names.first().copied().unwrap_or("localhost");
        let mut redirects = String::from("location = /redirect/0 { return 302 /small.txt; }\n");
        for step in 1..=20 {
            let _ = writeln!(redirects, "location = /redirect/{step} {{ return 302 /redirect/{}; }}", step - 1);
        }
        // One process that serves directly: nothing changes its user, which a user namespace does not allow, and
        // nothing is left behind when it is killed.
        let configuration = format!(
            "user root; daemon off; master_process off; pid {at}/pid; error_log stderr info;
             events {{ worker_connections 4096; }}
             http {{
               access_log {at}/access.log; default_type application/octet-stream; sendfile on;
               client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
               uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
               server {{
                 listen {address}:{HTTP_PORT} backlog=4096; listen {address}:{HTTPS_PORT} ssl;
                 ssl_certificate {files}/server.pem; ssl_certificate_key {files}/server.key;
                 root {www};
                 location = /moved {{ return 301 https://{first}/small.txt; }}
                 location = /teapot {{ return 418; }}
                 {redirects}
               }}
             }}"
        );
        let file = world.path("nginx.conf");
        fs::write(&file, configuration).expect("the test's directory takes files");
        let mut command = Command::new(find("nginx"));
        command.arg("-p").arg(&directory).arg("-c").arg(&file);
        let log = world.path("nginx.log");
        let daemon = Daemon::start(&mut command, log, |_| TcpStream::connect((address, HTTP_PORT)).is_ok());
        world.keep(daemon);
        Self { root }
    }

    /// Where a file of this name has to lie to be served as `/NAME`.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// A DHCP server or a DNS server, and in dnsmasq's case both.
pub struct Names<'a> {
    world: &'a World,
    daemon: usize,
}

impl<'a> Names<'a> {
    /// Starts dnsmasq on `tap` as DHCP and DNS server: leases of two minutes (its shortest) from .100 to .150, itself as
    /// router and DNS server, the domain `test`, and the names of [`Names::dns`]. `extra` are further options.
    ///
    /// # Panics
    ///
    /// When dnsmasq does not start.
    #[must_use]
    pub fn dhcp_and_dns(world: &'a World, tap: &Tap, extra: &[&str]) -> Self {
        let mut options = vec![
            format!("--interface={}", tap.name),
            "--except-interface=lo".to_owned(),
            format!("--dhcp-leasefile={}", world.path("dnsmasq.leases").display()),
            format!("--dhcp-range={},{},2m", tap.host(100), tap.host(150)),
            format!("--dhcp-option=option:router,{}", tap.address),
        ];
        options.extend(["--dhcp-authoritative", "--no-ping", "--log-dhcp"].map(str::to_owned));
        options.extend(extra.iter().map(|&option| option.to_owned()));
        Self::dnsmasq(world, tap.address, &options, "DHCP, IP range")
    }

    /// Starts dnsmasq as DNS server alone, on `address`, with the names:
    ///
    /// | name | records |
    /// | --- | --- |
    /// | `files.test` | A of `address` (and its PTR), AAAA 2001:db8::1, TXT "wharf was here", MX 10 `mail.test` |
    /// | `alias.test` | CNAME of `files.test` |
    /// | `silent.test` | A of `address` with 66 as its last byte, where nobody is |
    /// | `many.test` | forty TXT records, too many for a datagram of 512 bytes |
    /// | `_http._tcp.test` | SRV `files.test` port 80 |
    ///
    /// Any other name under `test` does not exist; of names elsewhere it refuses to speak.
    ///
    /// # Panics
    ///
    /// When dnsmasq does not start.
    #[must_use]
    pub fn dns(world: &'a World, address: Ipv4Addr) -> Self {
        Self::dnsmasq(world, address, &[], "started, version")
    }

    fn dnsmasq(world: &'a World, address: Ipv4Addr, options: &[String], ready: &str) -> Self {
        let [a, b, c, _] = address.octets();
        let silent = Ipv4Addr::new(a, b, c, 66);
        let mut command = Command::new(find("dnsmasq"));
        command
            // In debug mode it keeps the user it has, logs to its standard error and stays in the foreground.
            .args(["--no-daemon", "--log-queries", "--conf-file=/dev/null", "--pid-file=", "--no-resolv", "--no-hosts"])
            .args(["--bind-interfaces", "--domain=test", "--local=/test/"])
            .arg(format!("--listen-address={address}"))
            .arg(format!("--host-record=files.test,{address},2001:db8::1"))
            .arg(format!("--host-record=silent.test,{silent}"))
            .args(["--cname=alias.test,files.test", "--txt-record=files.test,wharf was here"])
            .args(["--mx-host=files.test,mail.test,10", "--srv-host=_http._tcp.test,files.test,80"])
            .args((0..40).map(|n| format!("--txt-record=many.test,this is record number {n} of forty")))
            .args(options);
        let daemon = Daemon::start(&mut command, world.path("dnsmasq.log"), |log| {
            log.contains("started, version") && log.contains(ready)
        });
        Self { world, daemon: world.keep(daemon) }
    }

    /// Starts udhcpd on `tap`, which gives leases of `seconds` however few: addresses from .100 to .150, the tap's
    /// address as router and DNS server.
    ///
    /// # Panics
    ///
    /// When udhcpd does not start.
    #[must_use]
    pub fn udhcpd(world: &'a World, tap: &Tap, seconds: u32) -> Self {
        let Tap { name, address, .. } = tap;
        let leases = world.path("udhcpd.leases");
        fs::write(&leases, "").expect("the test's directory takes files");
        let configuration = format!(
            "start {}\nend {}\ninterface {name}\nlease_file {}\npidfile {}\nmin_lease 1\n\
             option lease {seconds}\noption subnet 255.255.255.0\noption router {address}\noption dns {address}\n",
            tap.host(100),
            tap.host(150),
            leases.display(),
            world.path("udhcpd.pid").display(),
        );
        let file = world.path("udhcpd.conf");
        fs::write(&file, configuration).expect("the test's directory takes files");
        let mut command = Command::new(find("udhcpd"));
        command.arg("-f").arg(file);
        let daemon = Daemon::start(&mut command, world.path("udhcpd.log"), |log| log.contains("started"));
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

/// Debian's place for daemons is not on an ordinary user's path.
pub(crate) fn find(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.exists())
        .unwrap_or_else(|| panic!("{name} is not installed; ./test.sh installs what the tests need"))
}
