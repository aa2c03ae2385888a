//! The application's hold on an engine: what `Net` and every socket share.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::configuration::Progress;
use crate::control::Channel;
use crate::lock;

/// A running engine. When the last holder is gone the engine sends what is still to be sent and stops.
pub(crate) struct Client {
    pub channel: Arc<Channel>,
    /// How far the configuration is.
    pub progress: Arc<Progress>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Client {
    /// Starts `run` on a thread of its own.
    pub(crate) fn start(
        channel: Arc<Channel>,
        progress: Arc<Progress>,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let thread = thread::Builder::new().name("wharf".into()).spawn(run)?;
        Ok(Arc::new(Self { channel, progress, thread: Mutex::new(Some(thread)) }))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.channel.stop();
        let Some(thread) = lock(&self.thread).take() else {
            return;
        };
        // A waker that the engine calls may drop the last socket: the engine cannot wait for itself.
        if thread.thread().id() != thread::current().id() {
            // A panic there has been reported by the panic hook, and every socket has failed with EngineStopped.
            let _ = thread.join();
        }
    }
}
