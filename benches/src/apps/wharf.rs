//! Wharf: an engine on a TAP device, and the HTTP and SFTP clients of the library over it.

use std::fs::File;
use std::future::Future;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use wharf::dns::Resolver;
use wharf::http::{Client, Request, Versions};
use wharf::ssh::sftp::{Attributes, Open, Sftp};
use wharf::ssh::{self, Credentials, HostKeyPolicy, Nobody, Session};
use wharf::tls::Trust;
use wharf::{AddressCheck, Cidr, Net};

use super::cable::{self, Cable, SERVER};
use super::servers::Servers;
use super::sshd::{self, Sshd, Way};
use super::{AT_ONCE, Load, Version, url};

const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 11, 2);

/// How long the address may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests of SFTP under way at once, as by default in `wharf sftp`.
const REQUESTS: usize = 128;

/// Wharf on the cable.
pub(super) struct Guest {
    net: Net,
    runtime: Runtime,
}

impl Guest {
    /// Takes the cable's end, until it is dropped.
    ///
    /// # Errors
    /// When the engine cannot be started.
    pub(super) fn new(cable: &Cable) -> Result<Self> {
        let address = Cidr::new(GUEST.into(), cable::PREFIX).context("a prefix of an IPv4 address")?;
        let net = Net::builder().link(cable.link()?).address(address).address_check(AddressCheck::OFF).build()?;
        net.wait_configured(PATIENCE)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        Ok(Self { net, runtime })
    }

    /// Fetches, and gives the bytes that came.
    pub(super) fn fetch(&self, servers: &Servers, (version, load): (Version, Load), requests: u64) -> Result<u64> {
        let versions = match version {
            Version::One => Versions::Http1,
            Version::Two => Versions::Http2,
            Version::Three => Versions::Http3,
        };
        let client = Client::new(self.net.clone(), Trust::File(servers.authority()))?.with_versions(versions);
        let request = Request::get(&url(SERVER, version, load))?;
        self.runtime.block_on(async {
            match load {
                Load::Bulk => get(client, request).await,
                Load::Small => many(requests, || get(client.clone(), request.clone())).await,
            }
        })
    }

    /// Moves the server's file.
    pub(super) fn sftp(&self, server: &Sshd, way: Way) -> Result<()> {
        self.runtime.block_on(async {
            let options = ssh::Options {
                known_hosts: vec![server.known_hosts()],
                remember: false,
                host_keys: HostKeyPolicy::Strict,
                ..ssh::Options::default()
            };
            let resolver = Resolver::new(&self.net);
            let host = SERVER.to_string();
            let stream = ssh::dial(&self.net, &resolver, &host, sshd::PORT, PATIENCE).await?;
            let mut session = Session::over(stream, &host, sshd::PORT, &options, Arc::new(Nobody)).await?;
            let mut credentials = Credentials::new(sshd::USER);
            credentials.identity_files.push(server.key());
            session.authenticate(&credentials).await?;
            move_file(&Sftp::start(&session).await?, server, way).await?;
            session.close().await;
            Ok(())
        })
    }
}

/// As `wharf sftp` does it.
async fn move_file(sftp: &Sftp, server: &Sshd, way: Way) -> Result<()> {
    let (from, to) = (server.from(), server.to());
    match way {
        Way::Get => {
            let from = from.as_os_str().as_bytes();
            let size = sftp.stat(from, true).await?.size;
            let mut to = File::create(to)?;
            let file = sftp.open(from, Open::Read, Attributes::default()).await?;
            sftp.read_to(&file, 0, size, REQUESTS, |bytes| to.write_all(bytes)).await?;
            sftp.close(file).await?;
        }
        Way::Put => {
            let mut from = File::open(from)?;
            let file = sftp.open(to.as_os_str().as_bytes(), Open::Write, Attributes::default()).await?;
            sftp.write_from(&file, 0, REQUESTS, &mut from, |_| {}).await?;
            sftp.close(file).await?;
        }
    }
    Ok(())
}

async fn get(client: Client, request: Request) -> Result<u64> {
    let mut response = client.send(request).await?;
    ensure!(response.status.is_success(), "the server answered {}", response.status);
    while response.body.chunk().await?.is_some() {}
    Ok(response.body.received())
}

/// Does it `count` times, so many at once, and adds up.
async fn many<F>(count: u64, mut one: impl FnMut() -> F) -> Result<u64>
where
    F: Future<Output = Result<u64>> + Send + 'static,
{
    let (mut begun, mut sum) = (0, 0);
    let mut under_way = JoinSet::new();
    loop {
        while begun < count && under_way.len() < AT_ONCE {
            under_way.spawn(one());
            begun += 1;
        }
        match under_way.join_next().await {
            Some(done) => sum += done??,
            None => return Ok(sum),
        }
    }
}
