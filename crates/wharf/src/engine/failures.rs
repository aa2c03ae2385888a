//! The stack's reasons in the words of sockets.

use stack::ip::icmp::ErrorKind;
use stack::ports::BindError;
use stack::tcp::{ConnectError, TcpError};
use stack::udp::SendError;

use crate::error::SocketError;

pub(super) fn of_connection(error: TcpError) -> SocketError {
    match error {
        TcpError::Refused => SocketError::Refused,
        TcpError::Reset => SocketError::Reset,
        TcpError::TimedOut => SocketError::TimedOut,
        TcpError::HostUnreachable => SocketError::HostUnreachable,
        TcpError::NetworkUnreachable => SocketError::NetworkUnreachable,
        TcpError::ProtocolUnreachable => SocketError::ProtocolUnreachable,
        TcpError::Prohibited => SocketError::Prohibited,
        TcpError::AddressRemoved => SocketError::AddressRemoved,
        TcpError::Corrupt => SocketError::Corrupt,
        // Aborted, and what later versions of the engine add.
        _ => SocketError::Aborted,
    }
}

pub(super) fn of_connect(error: ConnectError) -> SocketError {
    match error {
        ConnectError::NoRoute => SocketError::NetworkUnreachable,
        ConnectError::BadSource => SocketError::AddressNotAvailable,
        ConnectError::InUse => SocketError::AddressInUse,
        ConnectError::NoPort => SocketError::NoPort,
        // BadDestination, and what later versions of the engine add.
        _ => SocketError::BadDestination,
    }
}

pub(super) fn of_bind(error: BindError) -> SocketError {
    match error {
        BindError::InUse => SocketError::AddressInUse,
        BindError::NotAvailable => SocketError::AddressNotAvailable,
        BindError::NoPorts => SocketError::NoPort,
    }
}

pub(super) fn of_send(error: SendError) -> SocketError {
    match error {
        SendError::NoSocket | SendError::NoDestination => SocketError::NotConnected,
        SendError::BadDestination => SocketError::BadDestination,
        SendError::Broadcast => SocketError::Prohibited,
        SendError::BadSource => SocketError::AddressNotAvailable,
        SendError::NoRoute => SocketError::NetworkUnreachable,
        SendError::TooBig(_) => SocketError::MessageTooLong,
        SendError::QueueFull => SocketError::QueueFull,
    }
}

pub(super) fn of_icmp(kind: ErrorKind) -> SocketError {
    match kind {
        ErrorKind::PortUnreachable => SocketError::Refused,
        ErrorKind::ProtocolUnreachable => SocketError::ProtocolUnreachable,
        ErrorKind::NetworkUnreachable => SocketError::NetworkUnreachable,
        ErrorKind::AdministrativelyProhibited => SocketError::Prohibited,
        ErrorKind::FragmentationNeeded(_) => SocketError::MessageTooLong,
        ErrorKind::TimeExceeded => SocketError::TimeExceeded,
        ErrorKind::HostUnreachable | ErrorKind::ParameterProblem => SocketError::HostUnreachable,
    }
}
