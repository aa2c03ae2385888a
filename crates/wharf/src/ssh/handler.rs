//! What the server may call for during a session: its key is judged, its banner shown, its end remembered, the
//! connections it forwards handed on. Everything else that a server might open is refused.
//!
//! russh calls it from the session's task.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use russh::client::{self, ChannelOpenHandle, DisconnectReason, Msg};
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelOpenFailure};
use tokio::sync::{mpsc, watch};

use super::forwarded_agent::Forwarding;
use super::known_hosts::{KnownHosts, Verdict, fingerprint};
use super::{Error, HostKeyPolicy, Questions, printable};
use crate::lock;

/// Forwarded connections that wait to be taken; what comes beyond is refused.
pub(super) const FORWARDED_WAITING: usize = 64;

/// A connection that somebody made to a port that the server listens on for us.
pub struct Forwarded {
    /// The port on the server.
    pub port: u16,
    /// Who connected, as the server tells it.
    pub from: String,
    /// Their bytes, both ways.
    pub stream: super::Stream,
}

/// What the handler and the session's owner both know.
#[derive(Default)]
pub(super) struct Shared {
    /// Why the session ended, once it has.
    pub(super) end: Mutex<Option<String>>,
    /// A person is being asked: patience with the server does not run out meanwhile.
    pub(super) asking: AtomicBool,
    /// The ports that the server listens on for us.
    pub(super) forwards: Mutex<Vec<u16>>,
    /// The agent that programs there may ask, if they may.
    pub(super) agent: Mutex<Option<Forwarding>>,
}

pub(super) struct Handler {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) known: KnownHosts,
    pub(super) policy: HostKeyPolicy,
    /// Where a key that is accepted goes.
    pub(super) file: Option<PathBuf>,
    pub(super) hash_names: bool,
    pub(super) questions: Arc<dyn Questions>,
    pub(super) shared: Arc<Shared>,
    pub(super) forwarded: mpsc::Sender<Forwarded>,
    /// The key of the first exchange: a later one must show the same.
    pub(super) accepted: Option<PublicKey>,
    /// Goes when the session does.
    pub(super) _alive: watch::Sender<()>,
}

impl Handler {
    /// The host as people write it.
    fn place(&self) -> String {
        if self.port == super::PORT { self.host.clone() } else { format!("[{}]:{}", self.host, self.port) }
    }

    async fn judge(&self, shown: &PublicKeyOrCertificate) -> Result<(), Error> {
        let key = shown.public_key();
        let (host, kind, print) = (self.place(), key.algorithm().to_string(), fingerprint(&key));
        match self.known.check(&self.host, self.port, shown, SystemTime::now()) {
            Verdict::Known(_) => Ok(()),
            Verdict::Revoked(place) => Err(Error::HostKeyRevoked { host, fingerprint: print, place }),
            Verdict::Changed { place, fingerprint: known } => {
                Err(Error::HostKeyChanged { host, kind, shown: print, known, place })
            }
            Verdict::BadCertificate { place, reason } => Err(Error::HostCertificate { host, reason, place }),
            Verdict::Unknown { others } => {
                let unknown = Error::HostKeyUnknown { host: host.clone(), kind, fingerprint: print, others };
                match self.policy {
                    HostKeyPolicy::Strict => return Err(unknown),
                    HostKeyPolicy::AcceptNew => {
                        // A key of another kind beside the known ones is no first contact: whoever sits in between
                        // would show just that.
                        if matches!(&unknown, Error::HostKeyUnknown { others, .. } if !others.is_empty()) {
                            return Err(unknown);
                        }
                    }
                    HostKeyPolicy::Ask => self.ask(unknown).await?,
                }
                self.remember(&key);
                Ok(())
            }
        }
    }

    async fn ask(&self, unknown: Error) -> Result<(), Error> {
        let Error::HostKeyUnknown { host, kind, fingerprint, others } = &unknown else { return Err(unknown) };
        let mut text = format!("The host key of {host} is not known yet.\nIt is {kind}, {fingerprint}.\n");
        for place in others {
            text += &format!("A key of another kind is known: {place}.\n");
        }
        text += "Is it the right one, and shall it be remembered? (yes/no/the fingerprint) ";
        let (questions, print) = (Arc::clone(&self.questions), fingerprint.clone());
        self.shared.asking.store(true, Ordering::Relaxed);
        let answer = tokio::task::spawn_blocking(move || questions.confirm(&text, &print)).await.ok().flatten();
        self.shared.asking.store(false, Ordering::Relaxed);
        match answer {
            None => Err(unknown),
            Some(false) => Err(Error::HostKeyDeclined { host: host.clone() }),
            Some(true) => Ok(()),
        }
    }

    fn remember(&self, key: &PublicKey) {
        let Some(file) = &self.file else { return };
        let place = self.place();
        match KnownHosts::append(file, &self.host, self.port, key, self.hash_names) {
            Ok(()) => self.questions.tell(&format!("The key of {place} was added to {}.", file.display())),
            // The session is as safe as it was; the question comes again next time.
            Err(error) => self.questions.tell(&format!("The key of {place} is not remembered: {error}")),
        }
    }
}

impl client::Handler for Handler {
    type Error = Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Error> {
        let key = shown.public_key();
        match &self.accepted {
            Some(accepted) if accepted.key_data() == key.key_data() => return Ok(true),
            Some(_) => return Err(Error::Protocol("the server changed its key during the session".to_owned())),
            None => {}
        }
        self.judge(shown).await?;
        self.accepted = Some(key);
        Ok(true)
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut client::Session) -> Result<(), Error> {
        self.questions.tell(printable(banner).trim_end());
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _address: &str,
        port: u32,
        from: &str,
        from_port: u32,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Error> {
        // Only what was asked for: any other port would let the server reach into our side.
        let asked = lock(&self.shared.forwards).iter().copied().find(|&asked| u32::from(asked) == port);
        let (Some(port), Ok(room)) = (asked, self.forwarded.try_reserve()) else {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        };
        reply.accept().await;
        room.send(Forwarded {
            port,
            from: printable(&format!("{from} port {from_port}")),
            stream: super::Stream::new(channel),
        });
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Error> {
        refuse(reply).await
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Error> {
        // Only if it was forwarded: a server that asks by itself is after the keys.
        let forwarding = lock(&self.shared.agent).clone();
        match forwarding.as_ref().and_then(Forwarding::admit) {
            None => refuse(reply).await,
            Some(connection) => {
                reply.accept().await;
                tokio::spawn(connection.carry(super::Stream::new(channel)));
                Ok(())
            }
        }
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Error> {
        // RFC 4254 section 6.1: clients refuse to open sessions.
        refuse(reply).await
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Error> {
        // RFC 4254 section 7.2: clients refuse direct-tcpip.
        refuse(reply).await
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Error> {
        refuse(reply).await
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Error> {
        refuse(reply).await
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Error>) -> Result<(), Error> {
        let (text, outcome) = match reason {
            DisconnectReason::ReceivedDisconnect(told) => {
                (format!("the server says: {}", printable(&told.message)), Ok(()))
            }
            DisconnectReason::Error(Error::Closed(why)) => (why.clone(), Err(Error::Closed(why))),
            DisconnectReason::Error(error) => (error.to_string(), Err(error)),
        };
        lock(&self.shared.end).get_or_insert(text);
        outcome
    }
}

async fn refuse(reply: ChannelOpenHandle) -> Result<(), Error> {
    reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
    Ok(())
}
