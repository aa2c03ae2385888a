//! A WebSocket server that is not ours: python3-websockets, with a path for each thing that a server may do.

use std::fs;
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::authority::Identity;
use crate::daemon::Daemon;
use crate::world::World;

/// What the server does. It logs a line for each connection that ended: its path, the code that we closed with, and
/// the kind of the error if there was one. Unmasked frames are such an error.
const SCRIPT: &str = r#"
import asyncio, http, ssl, sys
import websockets

async def serve(ws):
    path = ws.path.split("?")[0]
    if path == "/echo":
        async for message in ws:
            await ws.send(message)
    elif path == "/fragments":
        await ws.send(["one ", "message ", "in ", "four"])
        await ws.send([b"\x00\x01", b"\x02"])
        await ws.wait_closed()
    elif path == "/count":
        async for message in ws:
            await ws.send(f"{type(message).__name__} {len(message)}")
    elif path == "/large":
        try:
            await ws.send(b"x" * ((16 << 20) + 1))
        except websockets.ConnectionClosed:
            pass
        await ws.wait_closed()
    elif path.startswith("/close/"):
        await ws.close(int(path.split("/")[2]), "as asked")
    elif path == "/ping":
        await (await ws.ping(b"are you there"))
        await ws.send("the pong came")
        await ws.wait_closed()
    elif path == "/halfway":
        ws.transport.write(b"\x81\x7e\x10\x00half of a mess")
        ws.transport.close()
    elif path == "/invalid":
        ws.transport.write(b"\x81\x02\xc3\x28")
        await ws.wait_closed()
    elif path == "/headers":
        await ws.send(ws.request_headers.get("X-Token", "none"))
        await ws.send(str(ws.subprotocol))
        await ws.wait_closed()

async def handler(ws):
    error = None
    try:
        await serve(ws)
    except Exception as failure:
        error = failure
    print("ended", ws.path, ws.close_code, type(error).__name__, flush=True)

async def admit(path, headers):
    if path == "/forbidden":
        return http.HTTPStatus.FORBIDDEN, [], b"no\n"
    if path == "/unauthorized" and headers.get("Authorization") != "Basic bWU6c2VjcmV0":
        return http.HTTPStatus.UNAUTHORIZED, [("WWW-Authenticate", "Basic")], b"who?\n"

async def main(address, plain, secure, certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    options = dict(process_request=admit, subprotocols=["chat"], max_size=64 << 20, ping_interval=None)
    await websockets.serve(handler, address, int(plain), **options)
    await websockets.serve(handler, address, int(secure), ssl=context, **options)
    print("serving", websockets.__version__ if hasattr(websockets, "__version__") else "", flush=True)
    await asyncio.Future()

asyncio.run(main(*sys.argv[1:]))
"#;

/// The server: ws on port 80, wss on 443.
pub struct WebSocketServer<'a> {
    world: &'a World,
    daemon: usize,
}

impl<'a> WebSocketServer<'a> {
    /// Starts it on `address` with `identity`.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start(world: &'a World, address: IpAddr, identity: &Identity) -> Self {
        let write = |name: &str, text: &str| {
            let path = world.path(name);
            fs::write(&path, text).expect("the test's directory takes files");
            path
        };
        let script = write("websocket.py", SCRIPT);
        let (certificate, key) = (write("ws.pem", &identity.certificate_pem), write("ws.key", &identity.key_pem));
        // Debian's own Python has Debian's modules; another one that comes first on the path has not.
        let python = Some("/usr/bin/python3").filter(|path| Path::new(path).exists()).unwrap_or("python3");
        let mut command = Command::new(python);
        command.arg(script).arg(address.to_string()).args(["80", "443"]).arg(certificate).arg(key);
        let ready = |log: &str| log.contains("serving") && TcpStream::connect((address, 443)).is_ok();
        let daemon = world.keep(Daemon::start(&mut command, world.path("websocket.log"), ready));
        Self { world, daemon }
    }

    /// How the connection to `path` ended, once it did: the code that we closed with, and the error's kind.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[must_use]
    pub fn ended(&self, path: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        let begin = format!("ended {path} ");
        loop {
            let log = self.world.with_daemon(self.daemon, |daemon| daemon.log());
            if let Some(rest) = log.lines().find_map(|line| line.strip_prefix(&begin)) {
                return rest.to_owned();
            }
            assert!(Instant::now() < deadline, "the connection to {path} has not ended:\n{log}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
