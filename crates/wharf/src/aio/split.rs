//! The two directions of a connection, apart.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::TcpStream;
use super::tcp::{poll_read, poll_write};
use crate::socket::stream::Stream;

/// The reading half of a [`TcpStream`].
pub struct OwnedReadHalf {
    stream: Arc<Stream>,
}

/// The writing half of a [`TcpStream`]; dropping it ends the stream to the peer.
pub struct OwnedWriteHalf {
    stream: Arc<Stream>,
    /// The halves are one again, or the peer is to wait for more: see `forget`.
    keep_open: bool,
}

/// Halves that are not of the same connection.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of the same connection")
    }
}

impl std::error::Error for ReuniteError {}

impl OwnedReadHalf {
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        Self { stream }
    }

    /// The whole stream again.
    ///
    /// # Errors
    /// Gives the halves back when they are not of the same connection.
    pub fn reunite(self, writing: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        if !Arc::ptr_eq(&self.stream, &writing.stream) {
            return Err(ReuniteError(self, writing));
        }
        writing.forget();
        Ok(TcpStream::from_shared(self.stream))
    }

    /// The peer's address and port.
    ///
    /// # Errors
    /// Never; a `Result` as in tokio.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.stream.peer_addr()?)
    }

    /// Our end's address and port.
    ///
    /// # Errors
    /// Never; a `Result` as in tokio.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }
}

impl OwnedWriteHalf {
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        Self { stream, keep_open: false }
    }

    /// Drops the half without ending the stream to the peer; that happens when the connection is closed.
    pub fn forget(mut self) {
        self.keep_open = true;
    }

    /// The peer's address and port.
    ///
    /// # Errors
    /// Never; a `Result` as in tokio.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.stream.peer_addr()?)
    }

    /// Our end's address and port.
    ///
    /// # Errors
    /// Never; a `Result` as in tokio.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if !self.keep_open {
            // It fails only for a connection that never stood, which has no halves.
            let _ = self.stream.shutdown_write();
        }
    }
}

impl AsyncRead for OwnedReadHalf {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        poll_read(&self.stream, context, buffer)
    }
}

impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        poll_write(&self.stream, context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_write(&self.stream, context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown_write().map_err(Into::into))
    }
}

impl fmt::Debug for OwnedReadHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedReadHalf").field("peer", &self.stream.peer_addr().ok()).finish_non_exhaustive()
    }
}

impl fmt::Debug for OwnedWriteHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedWriteHalf").field("peer", &self.stream.peer_addr().ok()).finish_non_exhaustive()
    }
}
