//! An agent that programs on the server may ask (OpenSSH's `auth-agent@openssh.com`): each connection that the server
//! opens is joined with the agent's socket here. Called by `handler`.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Stream;

/// Connections to the agent at once; what comes beyond is refused.
const MOST_AT_ONCE: usize = 32;

/// The agent that is forwarded.
#[derive(Clone, Debug)]
pub(super) struct Forwarding {
    socket: PathBuf,
    room: Arc<Semaphore>,
}

/// Room for one connection to it.
pub(super) struct Admitted {
    socket: PathBuf,
    _room: OwnedSemaphorePermit,
}

impl Forwarding {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket, room: Arc::new(Semaphore::new(MOST_AT_ONCE)) }
    }

    /// Room for one more connection, if there is any.
    pub(super) fn admit(&self) -> Option<Admitted> {
        let room = Arc::clone(&self.room).try_acquire_owned().ok()?;
        Some(Admitted { socket: self.socket.clone(), _room: room })
    }
}

impl Admitted {
    /// Carries bytes both ways until one side ends. An agent that is gone is an end, too.
    pub(super) async fn carry(self, mut there: Stream) {
        if let Ok(mut here) = UnixStream::connect(&self.socket).await {
            let _ = copy_bidirectional(&mut here, &mut there).await;
        }
    }
}
