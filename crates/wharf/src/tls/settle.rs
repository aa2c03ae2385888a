//! What a server says right after the handshake: that it refuses the client after all, or tickets.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Error, TlsStream, Trust};

/// The most that a server says unasked and that is kept for the caller.
const GREETING: usize = 4096;

/// What came first after a handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Tickets that came, each good for one resumption (TLS 1.3; with 1.2 they come in the handshake).
    pub tickets: u32,
    /// Data that the server sent unasked, up to 4 KiB: the stream does not give it again.
    pub greeting: Vec<u8>,
    /// Whether the server has ended the session already.
    pub ended: bool,
}

/// Waits for at most `patience` for the first thing that the server says by itself. In TLS 1.3 the client is done
/// before the server has seen its certificate, so that a refusal comes only now (RFC 8446 section 4.4.2.4).
///
/// # Errors
/// [`Error::Alert`] when `name` refuses the client, [`Error::Connection`] when the connection is lost.
pub async fn settle<IO>(stream: &mut TlsStream<IO>, name: &str, patience: Duration) -> Result<Settled, Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = [0; GREETING];
    let first = poll_fn(|context| {
        let mut buffer = ReadBuf::new(&mut buffer);
        let poll = Pin::new(&mut *stream).poll_read(context, &mut buffer);
        let tickets = stream.get_ref().1.tls13_tickets_received();
        match poll {
            Poll::Ready(Ok(())) => {
                let greeting = buffer.filled().to_vec();
                Poll::Ready(Ok(Settled { tickets, ended: greeting.is_empty(), greeting }))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if tickets > 0 => Poll::Ready(Ok(Settled { tickets, ..Settled::default() })),
            Poll::Pending => Poll::Pending,
        }
    });
    match tokio::time::timeout(patience, first).await {
        Err(_) => Ok(Settled::default()),
        Ok(Ok(settled)) => Ok(settled),
        // No certificate is judged any more.
        Ok(Err(error)) => Err(Error::from_handshake(name, &Trust::default(), &[], error)),
    }
}
