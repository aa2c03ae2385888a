//! A datagram or seqpacket socket as a link: one message is one frame. Used by `fd`.

use std::os::fd::{BorrowedFd, OwnedFd};

use device::{RxFrame, TransmitError, TxFrame};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::descriptor::Descriptor;
use crate::gather;

/// The longest frame taken: as much as any frame needs that was not put together by an offload.
const MAX_FRAME: usize = 65_600;

/// A connected socket that keeps messages apart.
pub(crate) struct MessageSocket {
    pub(crate) descriptor: Descriptor,
    /// The socket has connections, whose end is a message of no bytes.
    ends: bool,
    buffer: Box<[u8]>,
    scratch: Vec<u8>,
    /// Whether the far end was there when it was last tried.
    pub(crate) up: bool,
}

impl MessageSocket {
    /// `seqpacket` sockets have an end, datagrams have not.
    pub(crate) fn new(fd: OwnedFd, seqpacket: bool) -> Self {
        Self {
            descriptor: Descriptor::new(fd),
            ends: seqpacket,
            buffer: vec![0; MAX_FRAME].into_boxed_slice(),
            scratch: Vec::new(),
            up: true,
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.descriptor.fd()
    }

    pub(crate) fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        if self.descriptor.is_gone() {
            return Err(self.descriptor.lost());
        }
        match gather::sendmsg(self.descriptor.fd(), &[], frame, &mut self.scratch) {
            Ok(_) => {
                self.up = true;
                self.descriptor.taken();
                Ok(())
            }
            Err(Errno::AGAIN) => Err(self.descriptor.full()),
            Err(Errno::PIPE | Errno::CONNRESET) if self.ends => {
                self.descriptor.close();
                Err(self.descriptor.lost())
            }
            Err(error) => {
                // Nobody is there now, but somebody may come. Any other error (EMSGSIZE, ENOBUFS) is this frame's.
                if is_absence(error) {
                    self.up = false;
                }
                Err(self.descriptor.lost())
            }
        }
    }

    pub(crate) fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        let mut taken = 0;
        while taken < budget && !self.descriptor.is_gone() {
            // MSG_TRUNC: the length is the message's own, also when the buffer was too short for it.
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            let len = match recv(self.descriptor.fd(), &mut self.buffer[..], flags) {
                Ok((_, len)) => len,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(Errno::CONNRESET) if self.ends => {
                    self.descriptor.close();
                    break;
                }
                Err(error) => {
                    self.up &= !is_absence(error);
                    self.descriptor.read_failed();
                    break;
                }
            };
            if len == 0 && self.ends {
                self.descriptor.close();
                break;
            }
            self.descriptor.read_succeeded();
            self.up = true;
            taken += 1;
            match self.buffer.get(..len) {
                Some(bytes) => {
                    self.descriptor.counters.received += 1;
                    input(&RxFrame::plain(bytes));
                }
                None => self.descriptor.counters.received_oversized += 1,
            }
        }
        taken
    }
}

/// The far end of a datagram socket is not there.
fn is_absence(error: Errno) -> bool {
    matches!(error, Errno::CONNREFUSED | Errno::CONNRESET | Errno::NOTCONN | Errno::NOENT | Errno::NETDOWN)
}
