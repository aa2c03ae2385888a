//! The server's side of SOCKS5 (RFC 1928), CONNECT without authentication: what -D speaks.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(30);

/// The host and port that the client asks for; `None` if it asks for something else, which it has been told.
pub(super) async fn asked(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<(String, u16)> {
    tokio::time::timeout(PATIENCE, read(stream)).await.ok()?.ok().flatten()
}

async fn read(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Option<(String, u16)>> {
    // RFC 1928 section 3: the version and the ways of authentication; 0 is none, 255 that nothing suits.
    if stream.read_u8().await? != 5 {
        return Ok(None);
    }
    let mut methods = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut methods).await?;
    if !methods.contains(&0) {
        stream.write_all(&[5, 255]).await?;
        return Ok(None);
    }
    stream.write_all(&[5, 0]).await?;
    // RFC 1928 section 4: version, command, reserved, kind of address, address, port.
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [5, command, _, kind] = head else { return Ok(None) };
    let host = match kind {
        1 => Ipv4Addr::from(stream.read_u32().await?).to_string(),
        3 => {
            let mut name = vec![0; stream.read_u8().await?.into()];
            stream.read_exact(&mut name).await?;
            match String::from_utf8(name) {
                Ok(name) if !name.is_empty() && !name.contains('\0') => name,
                _ => return answer(stream, 1).await.map(|()| None),
            }
        }
        4 => Ipv6Addr::from(stream.read_u128().await?).to_string(),
        _ => return answer(stream, 8).await.map(|()| None),
    };
    let port = stream.read_u16().await?;
    if command != 1 {
        return answer(stream, 7).await.map(|()| None);
    }
    Ok(Some((host, port)))
}

/// The connection stands.
pub(super) async fn granted(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    answer(stream, 0).await
}

/// It could not be made.
pub(super) async fn refused(stream: &mut (impl AsyncWrite + Unpin)) {
    // RFC 1928 section 6: 5 is "connection refused". A client that has gone needs no answer.
    let _ = answer(stream, 5).await;
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin), code: u8) -> io::Result<()> {
    stream.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await
}
