//! The peers of the HTTP client: nginx with HTTP/1.1 and HTTP/2, nghttpd, caddy with HTTP/3, the proxies tinyproxy and
//! microsocks, and a server that says word for word what a test has it say.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::daemon::Daemon;
use crate::peers::find;
use crate::world::World;

/// nginx for clients that keep connections: http on port 80, https with HTTP/2 on 443 and without on 8443.
pub struct KeepingWeb {
    root: PathBuf,
}

impl KeepingWeb {
    /// Starts nginx on `address` with a certificate for `names`.
    ///
    /// Besides the files, `/connection` is answered with the number of the connection, `/resumed` with `r` on a
    /// session of TLS that was resumed, `/loop` with a redirect to itself; what is PUT below `/put/` becomes a file.
    /// `/udp/closed` and `/udp/silent` say that HTTP/3 is spoken where nobody listens, and where nobody is.
    ///
    /// # Panics
    ///
    /// When nginx does not start.
    #[must_use]
    pub fn start(world: &World, address: Ipv4Addr, names: &[&str]) -> Self {
        let root = world.make_directory("www");
        fs::create_dir_all(root.join("put")).expect("the test's directory takes directories");
        fs::write(root.join("small.txt"), "small\n").expect("the test's directory takes files");
        let (certificate, key) = identity(world, names);
        let directory = world.make_directory("nginx");
        let (at, www) = (directory.display(), root.display());
        let silent = Ipv4Addr::from(u32::from(address) | 0x42);
        let configuration = format!(
            "user root; daemon off; master_process off; pid {at}/pid; error_log stderr info;
             events {{ worker_connections 4096; }}
             http {{
               access_log off; default_type text/plain; keepalive_requests 100000; client_max_body_size 0;
               client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
               uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
               server {{
                 listen {address}:80 backlog=4096;
                 listen {address}:443 ssl http2 backlog=4096; listen {address}:8443 ssl;
                 ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_session_cache shared:s:1m;
                 root {www};
                 location = /connection {{ return 200 $connection; }}
                 location = /resumed {{ return 200 $ssl_session_reused; }}
                 location = /loop {{ return 302 /loop; }}
                 location /put/ {{ dav_methods PUT; }}
                 location = /udp/closed {{ add_header Alt-Svc 'h3=\":9\"; ma=600'; return 200 closed; }}
                 location = /udp/silent {{ add_header Alt-Svc 'h3=\"{silent}:443\"; ma=600'; return 200 silent; }}
               }}
             }}"
        );
        let file = world.path("keeping.conf");
        fs::write(&file, configuration).expect("the test's directory takes files");
        let mut command = Command::new(find("nginx"));
        command.arg("-p").arg(&directory).arg("-c").arg(&file);
        let daemon = Daemon::start(&mut command, world.path("keeping.log"), |_| is_open(address, 443));
        world.keep(daemon);
        Self { root }
    }

    /// Where a file of this name has to lie to be served as `/NAME`.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// Starts nghttpd on `address` and `port`, serving the files of `root` over HTTP/2, `streams` at a time, each with a
/// trailer field `digest: none`. Without `names` it speaks without TLS.
///
/// # Panics
///
/// When it does not start.
pub fn start_nghttpd(world: &World, address: Ipv4Addr, port: u16, root: &str, names: &[&str], streams: u32) {
    let mut command = Command::new(find("nghttpd"));
    command.arg(format!("--address={address}")).arg(format!("--htdocs={root}"));
    command.arg(format!("--max-concurrent-streams={streams}")).arg("--trailer=digest: none");
    if names.is_empty() {
        command.arg("--no-tls").arg(port.to_string());
    } else {
        let (certificate, key) = identity(world, names);
        command.arg(port.to_string()).arg(key).arg(certificate);
    }
    let daemon = Daemon::start(&mut command, world.path(&format!("nghttpd{port}.log")), |_| is_open(address, port));
    world.keep(daemon);
}

/// Starts caddy on `address`, serving the files of `root` on port 4433 over HTTP/1.1, HTTP/2 and HTTP/3 as `name`.
/// `/proto` is answered with the version of the request; what is below `/put/` goes on to port 80 of `address`.
///
/// # Panics
///
/// When it does not start.
pub fn start_caddy(world: &World, address: Ipv4Addr, root: &str, name: &str) {
    let (certificate, key) = identity(world, &[name]);
    let home = world.make_directory("caddy");
    let file = world.path("Caddyfile");
    let configuration = format!(
        "{{\n admin off\n auto_https off\n}}\nhttps://{name}:4433 {{\n bind {address}\n tls {certificate} {key}\n \
         respond /proto {{http.request.proto}}\n reverse_proxy /put/* {address}:80\n root * {root}\n file_server\n}}\n"
    );
    fs::write(&file, configuration).expect("the test's directory takes files");
    let mut command = Command::new(find("caddy"));
    command.env("HOME", &home).env("XDG_DATA_HOME", &home).env("XDG_CONFIG_HOME", &home);
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
    let daemon = Daemon::start(&mut command, world.path("caddy.log"), |log| {
        log.contains("serving initial configuration") && is_open(address, 4433)
    });
    world.keep(daemon);
}

/// Starts tinyproxy on `address`, port 8888, for whoever gives `me` and `secret`.
///
/// # Panics
///
/// When it does not start.
pub fn start_tinyproxy(world: &World, address: Ipv4Addr) {
    let file = world.path("tinyproxy.conf");
    let configuration = format!(
        "Port 8888\nListen {address}\nTimeout 600\nMaxClients 100\nBasicAuth me secret\nConnectPort 443\n\
         ConnectPort 8443\nLogLevel Info\n"
    );
    fs::write(&file, configuration).expect("the test's directory takes files");
    let mut command = Command::new(find("tinyproxy"));
    command.arg("-d").arg("-c").arg(&file);
    let daemon = Daemon::start(&mut command, world.path("tinyproxy.log"), |_| is_open(address, 8888));
    world.keep(daemon);
}

/// Starts microsocks on `address`, port 1080, for whoever gives `me` and `secret`.
///
/// # Panics
///
/// When it does not start.
pub fn start_microsocks(world: &World, address: Ipv4Addr) {
    let mut command = Command::new(find("microsocks"));
    command.args(["-i", &address.to_string(), "-p", "1080", "-u", "me", "-P", "secret"]);
    let daemon = Daemon::start(&mut command, world.path("microsocks.log"), |_| is_open(address, 1080));
    world.keep(daemon);
}

/// What a [`Scripted`] server does on one connection.
#[derive(Clone, Debug)]
pub enum Line {
    /// Reads a request, up to the end of its head.
    Hear,
    /// Writes these bytes.
    Say(String),
    /// Writes these bytes again and again, until nobody listens.
    SayForEver(String),
    /// Says nothing until the client goes.
    Hold,
}

/// A server that follows a script, a connection each, and counts its connections. After the last script it goes on
/// with that one.
pub struct Scripted {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Scripted {
    /// Starts it on a port of its own.
    ///
    /// # Panics
    ///
    /// When the port cannot be had.
    #[must_use]
    pub fn start(address: Ipv4Addr, scripts: Vec<Vec<Line>>) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                if let Some(script) = scripts.get(number).or(scripts.last()).cloned() {
                    // The client may leave whenever it likes.
                    thread::spawn(move || play(stream, &script));
                }
            }
        });
        Self { address, connections }
    }

    /// Connections made so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn play(mut stream: TcpStream, script: &[Line]) -> Option<()> {
    let mut byte = [0];
    for line in script {
        match line {
            Line::Hear => {
                let mut heard = Vec::new();
                while !heard.ends_with(b"\r\n\r\n") {
                    stream.read_exact(&mut byte).ok()?;
                    heard.push(byte[0]);
                }
            }
            Line::Say(text) => stream.write_all(text.as_bytes()).ok()?,
            Line::SayForEver(text) => loop {
                stream.write_all(text.as_bytes()).ok()?;
            },
            Line::Hold => while stream.read(&mut byte).ok()? > 0 {},
        }
    }
    Some(())
}

/// A certificate for `names` and its key, as files.
fn identity(world: &World, names: &[&str]) -> (String, String) {
    let identity = world.authority().issue(names);
    let stem = names.first().copied().unwrap_or("nobody");
    let (certificate, key) = (world.path(&format!("{stem}.pem")), world.path(&format!("{stem}.key")));
    fs::write(&certificate, identity.certificate_pem).expect("the test's directory takes files");
    fs::write(&key, identity.key_pem).expect("the test's directory takes files");
    (certificate.to_string_lossy().into_owned(), key.to_string_lossy().into_owned())
}

fn is_open(address: Ipv4Addr, port: u16) -> bool {
    TcpStream::connect((address, port)).is_ok()
}
