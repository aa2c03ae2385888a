//! Urgent data, blocking (RFC 9293 section 3.8.5), by the names that socket2 has for it. RFC 6093 advises new protocols not to
//! use it; telnet, rlogin and FTP do.

use std::io;
use std::task::{Context, Poll, Waker};

use super::TcpStream;
use crate::socket::block;

impl TcpStream {
    /// Writes urgent data (`send` with MSG_OOB): the peer is told at once how far it reaches, even while it takes no more data.
    /// Returns how much of `bytes` was written.
    ///
    /// ```
    /// use std::io::Read;
    /// use wharf::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = wharf::Net::loopback()?;
    /// let listener = TcpListener::bind(&net, ([127, 0, 0, 1], 0))?;
    /// let client = TcpStream::connect(&net, listener.local_addr()?)?;
    /// let (mut server, _) = listener.accept()?;
    /// server.set_out_of_band_inline(false);
    /// client.send_out_of_band(b"stop!")?;
    ///
    /// assert_eq!(server.wait_urgent()?, 5);
    /// let mut text = [0; 16];
    /// server.read_exact(&mut text[..4])?;
    /// assert_eq!(&text[..4], b"stop");
    /// assert!(server.at_mark()?);
    /// assert_eq!(server.recv_out_of_band()?, b'!');
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As a write.
    pub fn send_out_of_band(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let end = self.wait_to_write(|context| self.shared().poll_announce_urgent(context, bytes.len()))?;
            // The engine's word does not depend on the peer: it is waited for in non-blocking mode too.
            let written = block::forever(|context| self.shared().poll_write_urgent(context, bytes, end))?;
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
    pub fn at_mark(&self) -> io::Result<bool> {
        Ok(block::forever(|context| self.shared().poll_at_mark(context)))
    }

    /// How many bytes remain to be read up to the end of urgent data, arrived or not; zero when nothing urgent lies ahead.
    ///
    /// # Errors
    /// Never; a `Result` like its companions.
    pub fn urgent_remaining(&self) -> io::Result<u64> {
        Ok(block::forever(|context| self.shared().poll_urgent_remaining(context)))
    }

    /// Waits until urgent data lies ahead (POLLPRI), and returns how many bytes remain to be read up to its end; zero when the
    /// peer has ended its stream, or the connection is over. A thread may wait here while another reads.
    ///
    /// # Errors
    /// `WouldBlock` when the time of [`set_read_timeout`](Self::set_read_timeout) is over, or in non-blocking mode.
    pub fn wait_urgent(&self) -> io::Result<u64> {
        self.wait_to_read(|context| self.shared().poll_until_urgent(context).map(Ok))
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

    /// Takes the last urgent byte apart from the stream (`recv` with MSG_OOB). Never waits, as on other systems: before the byte
    /// there may be more than the buffer holds, and who waited for it would not read that.
    ///
    /// # Errors
    /// `WouldBlock` when it was announced and has not arrived: read on, up to [the mark](Self::at_mark). `InvalidInput` when
    /// there is none, when it was taken before, and when it stays in the stream.
    pub fn recv_out_of_band(&self) -> io::Result<u8> {
        match self.shared().poll_out_of_band(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(byte) => Ok(byte?),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}
