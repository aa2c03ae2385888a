//! The servers of the family: nginx for HTTP/1.1 and HTTP/2, caddy for HTTP/3, in this namespace, on every address.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::cable::SERVER as OVER_TAP;
use super::directory::Directory;
use super::kernel::SERVER_OVER_VETH as OVER_VETH;

/// HTTP/1.1 alone.
pub(super) const PORT_1: u16 = 8441;
/// HTTP/2 by ALPN.
pub(super) const PORT_2: u16 = 8442;
/// HTTP/3, by caddy.
pub(super) const PORT_3: u16 = 8443;

pub(super) const LARGE_FILE: &str = "large.bin";
pub(super) const SMALL_FILE: &str = "small.bin";

/// Bytes of the small file.
pub(super) const SMALL: u64 = 512;

/// Most that a server may take until it serves.
const START: Duration = Duration::from_secs(30);

/// The servers, which end with this value, and what they serve.
pub(super) struct Servers {
    directory: PathBuf,
    children: Vec<Child>,
}

impl Servers {
    /// Starts them with a large file of `bytes`.
    ///
    /// # Errors
    /// When a program is missing or does not serve.
    pub(super) fn start(directory: &Directory, bytes: u64, http_3: bool) -> Result<Self> {
        let mut servers = Self { directory: directory.path().to_owned(), children: Vec::new() };
        let at = servers.directory.clone();
        // A file without content of its own reads as zeros, out of memory; TLS makes noise of them.
        File::create(at.join(LARGE_FILE)).and_then(|file| file.set_len(bytes)).context("making the large file")?;
        fs::write(at.join(SMALL_FILE), vec![b'x'; SMALL as usize]).context("making the small file")?;
        certify(&at)?;
        let place = at.display();
        let configuration = format!(
            "user root; daemon off; master_process off; pid {place}/pid; error_log stderr crit;
             events {{ worker_connections 1024; }}
             http {{
               access_log off; sendfile on; keepalive_requests 1000000;
               client_body_temp_path {place}/t; proxy_temp_path {place}/t; fastcgi_temp_path {place}/t;
               uwsgi_temp_path {place}/t; scgi_temp_path {place}/t;
               ssl_certificate {place}/server.pem; ssl_certificate_key {place}/server.key; root {place};
               server {{ listen {PORT_1} ssl; }}
               server {{ listen {PORT_2} ssl http2; }}
             }}"
        );
        fs::write(at.join("nginx.conf"), configuration)?;
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(&at).arg("-c").arg(at.join("nginx.conf"));
        servers.spawn(nginx, PORT_2)?;
        if http_3 {
            let configuration = format!(
                "{{\n admin off\n auto_https off\n default_sni {OVER_TAP}\n}}\nhttps://{OVER_TAP}:{PORT_3}, https://{OVER_VETH}:{PORT_3} {{\n \
                 tls {place}/server.pem {place}/server.key\n root * {place}\n file_server\n}}\n"
            );
            fs::write(at.join("Caddyfile"), configuration)?;
            let mut caddy = Command::new("caddy");
            caddy.env("HOME", &at).env("XDG_DATA_HOME", &at).env("XDG_CONFIG_HOME", &at);
            caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(at.join("Caddyfile"));
            servers.spawn(caddy, PORT_3)?;
        }
        Ok(servers)
    }

    fn spawn(&mut self, mut command: Command, port: u16) -> Result<()> {
        let name = command.get_program().to_string_lossy().into_owned();
        let path = std::env::var("PATH").unwrap_or_default();
        let log = File::create(self.directory.join(format!("{name}.log")))?;
        command.env("PATH", format!("{path}:/usr/sbin:/sbin")).stdin(Stdio::null());
        let child = command.stdout(log.try_clone()?).stderr(log).spawn();
        self.children.push(child.with_context(|| format!("starting {name} (Debian: apt install {name})"))?);
        let begun = Instant::now();
        while TcpStream::connect((OVER_TAP, port)).is_err() {
            let ended = self.children.last_mut().map(Child::try_wait).transpose()?.flatten();
            let said = fs::read_to_string(self.directory.join(format!("{name}.log"))).unwrap_or_default();
            if let Some(status) = ended {
                bail!("{name} ended at once ({status}): {said}");
            }
            ensure!(begun.elapsed() < START, "{name} does not serve after {START:?}: {said}");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The authority that signed the servers' certificate.
    pub(super) fn authority(&self) -> PathBuf {
        self.directory.join("authority.pem")
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            // What has ended already cannot be ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An authority, and a certificate of its for the servers' addresses.
fn certify(at: &Path) -> Result<()> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "wharf-bench");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let names = vec![OVER_TAP.to_string(), OVER_VETH.to_string()];
    let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
    fs::write(at.join("authority.pem"), issuer.pem())?;
    fs::write(at.join("server.pem"), certificate.pem())?;
    fs::write(at.join("server.key"), key.serialize_pem())?;
    Ok(())
}
