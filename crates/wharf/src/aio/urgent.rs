//! Urgent data, asynchronously (RFC 9293 section 3.8.5), by the names that socket2 has for it. RFC 6093 advises new protocols
//! not to use it; telnet, rlogin and FTP do.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, Waker};

use super::TcpStream;

impl TcpStream {
    /// Writes urgent data (`send` with MSG_OOB): the peer is told at once how far it reaches, even while it takes no more data.
    /// Returns how much of `bytes` was written. If this is dropped before it is done, what is written next may be marked instead.
    ///
    /// ```
    /// use wharf::aio::{TcpListener, TcpStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = wharf::Net::loopback()?;
    /// let listener = TcpListener::bind(&net, ([127, 0, 0, 1], 0)).await?;
    /// let client = TcpStream::connect(&net, listener.local_addr()?).await?;
    /// let (server, _) = listener.accept().await?;
    /// server.set_out_of_band_inline(false);
    /// client.send_out_of_band(b"!").await?;
    ///
    /// assert_eq!(server.urgent().await?, 1);
    /// assert_eq!(server.recv_out_of_band().await?, b'!');
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As a write.
    pub async fn send_out_of_band(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let end = poll_fn(|context| self.shared().poll_announce_urgent(context, bytes.len())).await?;
            let written = poll_fn(|context| self.shared().poll_write_urgent(context, bytes, end)).await?;
            if written > 0 || bytes.is_empty() {
                return Ok(written);
            }
        }
    }

    /// Whether the next byte to be read is the last urgent one (`sockatmark`). A read stops there, so that what came before can
    /// be told from it.
    ///
    /// # Errors
    /// Never; a `Result` like its companions.
    pub async fn at_mark(&self) -> io::Result<bool> {
        Ok(poll_fn(|context| self.shared().poll_at_mark(context)).await)
    }

    /// How many bytes remain to be read up to the end of urgent data, arrived or not; zero when nothing urgent lies ahead.
    ///
    /// # Errors
    /// Never; a `Result` like its companions.
    pub async fn urgent_remaining(&self) -> io::Result<u64> {
        Ok(poll_fn(|context| self.shared().poll_urgent_remaining(context)).await)
    }

    /// Waits until urgent data lies ahead (POLLPRI), and returns how many bytes remain to be read up to its end; zero when the peer has
    /// ended its stream, or the connection is over. A task may wait here while another reads.
    ///
    /// # Errors
    /// Never; a `Result` like its companions.
    pub async fn urgent(&self) -> io::Result<u64> {
        Ok(poll_fn(|context| self.shared().poll_until_urgent(context)).await)
    }

    /// Whether the last urgent byte stays in the stream (SO_OOBINLINE), as it does at first: RFC 6093 section 3.4. Otherwise
    /// reads leave it out, and [`recv_out_of_band`](Self::recv_out_of_band) takes it.
    pub fn set_out_of_band_inline(&self, inline: bool) {
        self.shared().set_out_of_band_inline(inline);
    }

    /// What [`set_out_of_band_inline`](Self::set_out_of_band_inline) set.
    #[must_use]
    pub fn out_of_band_inline(&self) -> bool {
        self.shared().out_of_band_inline()
    }

    /// Takes the last urgent byte apart from the stream (`recv` with MSG_OOB); waits for it if it was announced and has not
    /// arrived. Before it there may be more than the buffer holds: another task has to read that meanwhile.
    ///
    /// # Errors
    /// `InvalidInput` when there is none, when it was taken before, and when it stays in the stream.
    pub async fn recv_out_of_band(&self) -> io::Result<u8> {
        Ok(poll_fn(|context| self.shared().poll_out_of_band(context)).await?)
    }

    /// As [`recv_out_of_band`](Self::recv_out_of_band), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when it was announced and has not arrived, else as that.
    pub fn try_recv_out_of_band(&self) -> io::Result<u8> {
        match self.shared().poll_out_of_band(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(byte) => Ok(byte?),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}
