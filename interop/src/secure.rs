//! nginx and openssl(1) as TLS servers, each with the certificate and the settings that a test gives it.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::authority::Identity;
use crate::daemon::Daemon;
use crate::peers::find;
use crate::world::World;

/// One server of [`Secure`].
pub struct SecureServer<'a> {
    /// Where it listens.
    pub port: u16,
    /// What it shows.
    pub identity: Identity,
    /// Further settings, as nginx words them.
    pub settings: &'a str,
}

/// nginx with TLS servers that answer any request with `secure` and log what they agreed on.
pub struct Secure {
    log: PathBuf,
}

impl Secure {
    /// Starts nginx on `address`.
    ///
    /// # Panics
    ///
    /// When nginx does not start.
    #[must_use]
    pub fn start(world: &World, address: IpAddr, servers: Vec<SecureServer<'_>>) -> Self {
        let directory = world.make_directory("secure");
        let at = directory.display();
        let log = directory.join("sessions.log");
        let mut blocks = String::new();
        let first = servers.first().map(|server| server.port).expect("there is a server");
        for SecureServer { port, identity, settings } in servers {
            let (certificate, key) = (directory.join(format!("{port}.pem")), directory.join(format!("{port}.key")));
            fs::write(&certificate, identity.certificate_pem).expect("the test's directory takes files");
            fs::write(&key, identity.key_pem).expect("the test's directory takes files");
            let _ = write!(
                blocks,
                "server {{ listen {address}:{port} ssl; ssl_certificate {}; ssl_certificate_key {};
                   {settings} location / {{ return 200 secure; }} }}\n",
                certificate.display(),
                key.display()
            );
        }
        // One line for each request. A client that resumed has `r` where others have a dot.
        let configuration = format!(
            "user root; daemon off; master_process off; pid {at}/pid; error_log stderr info;
             events {{ worker_connections 256; }}
             http {{
               log_format sessions '$server_port $ssl_protocol $ssl_session_reused early=$ssl_early_data client=$ssl_client_verify';
               access_log {} sessions; default_type text/plain; ssl_session_cache shared:tls:1m;
               ssl_protocols TLSv1.2 TLSv1.3;
               client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
               uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
               {blocks}
             }}",
            log.display()
        );
        let file = directory.join("nginx.conf");
        fs::write(&file, configuration).expect("the test's directory takes files");
        let mut command = Command::new(find("nginx"));
        command.arg("-p").arg(&directory).arg("-c").arg(&file);
        let ready = |_: &str| TcpStream::connect((address, first)).is_ok();
        world.keep(Daemon::start(&mut command, world.path("secure.log"), ready));
        Self { log }
    }

    /// The lines of the log, once there are `count`: `PORT VERSION REUSED early=E client=C`.
    ///
    /// # Panics
    ///
    /// When they do not come.
    #[must_use]
    pub fn sessions(&self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if lines.len() >= count {
                return lines;
            }
            assert!(Instant::now() < deadline, "the server logged {lines:?}, and {count} sessions were expected");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl World {
    /// Starts openssl(1)'s server on `address` and `port` with `identity` and further options.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn openssl_server(&self, address: IpAddr, port: u16, identity: &Identity, options: &[&str]) {
        let (certificate, key) = (self.path(&format!("s{port}.pem")), self.path(&format!("s{port}.key")));
        fs::write(&certificate, &identity.certificate_pem).expect("the test's directory takes files");
        fs::write(&key, &identity.key_pem).expect("the test's directory takes files");
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", &format!("{address}:{port}"), "-www", "-cert"]);
        command.arg(certificate).arg("-key").arg(key).args(options);
        let log = self.path(&format!("s_server-{port}.log"));
        self.keep(Daemon::start(&mut command, log, |log| log.contains("ACCEPT")));
    }
}
