//! A way through a SOCKS 5 proxy (RFC 1928), with user name and password where it wants them (RFC 1929).

use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Place, Proxy};
use crate::http::connect::Stream;
use crate::http::error::Error;

const VERSION: u8 = 5;
/// RFC 1928 section 3.
const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;
const NOTHING_ACCEPTABLE: u8 = 0xff;
/// RFC 1928 section 4.
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Asks `proxy`, at the other end of `stream`, for a way to `place`: to `address`, or by name where there is none.
pub(super) async fn open(
    proxy: &Proxy,
    stream: &mut Box<dyn Stream>,
    place: &Place,
    address: Option<IpAddr>,
) -> Result<(), Error> {
    let address = address.or_else(|| place.host.parse().ok());
    match negotiate(proxy, stream, place, address).await {
        Ok(outcome) => outcome,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(proxy.refuses(place, "it closed the connection instead of answering".to_owned()))
        }
        Err(error) => Err(proxy.refuses(place, format!("the connection to it was lost: {error}; try again"))),
    }
}

/// The outer error is the connection's, the inner one the proxy's.
async fn negotiate(
    proxy: &Proxy,
    stream: &mut Box<dyn Stream>,
    place: &Place,
    address: Option<IpAddr>,
) -> io::Result<Result<(), Error>> {
    let refuse = |reason: String| Ok(Err(proxy.refuses(place, reason)));
    let methods: &[u8] = if proxy.login.is_some() { &[VERSION, 2, NO_LOGIN, LOGIN] } else { &[VERSION, 1, NO_LOGIN] };
    stream.write_all(methods).await?;
    stream.flush().await?;
    let (version, method) = (stream.read_u8().await?, stream.read_u8().await?);
    if version != VERSION {
        return refuse("what it answered is not SOCKS 5; is it an HTTP proxy?".to_owned());
    }
    match (method, &proxy.login) {
        (NO_LOGIN, _) => {}
        (LOGIN, Some((name, password))) => {
            // RFC 1929 section 2: the version of this negotiation is 1.
            let mut login = vec![1, name.len() as u8];
            login.extend_from_slice(name.as_bytes());
            login.push(password.len() as u8);
            login.extend_from_slice(password.as_bytes());
            stream.write_all(&login).await?;
            stream.flush().await?;
            let (_, status) = (stream.read_u8().await?, stream.read_u8().await?);
            if status != 0 {
                return Ok(Err(login_refused(proxy)));
            }
        }
        (NOTHING_ACCEPTABLE, _) => return Ok(Err(login_refused(proxy))),
        (other, _) => return refuse(format!("it chose method {other}, which was not offered")),
    }

    let mut request = vec![VERSION, CONNECT, 0];
    match address {
        Some(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend_from_slice(&address.octets());
        }
        Some(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend_from_slice(&address.octets());
        }
        None => {
            let Ok(length) = u8::try_from(place.host.len()) else {
                return refuse("the name is longer than the 255 bytes that SOCKS carries".to_owned());
            };
            request.extend_from_slice(&[NAME, length]);
            request.extend_from_slice(place.host.as_bytes());
        }
    }
    request.extend_from_slice(&place.port.to_be_bytes());
    stream.write_all(&request).await?;
    stream.flush().await?;

    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await?;
    let [version, reply, _, kind] = answer;
    if version != VERSION {
        return refuse("what it answered is not SOCKS 5".to_owned());
    }
    if reply != 0 {
        return refuse(reply_as_words(reply));
    }
    // RFC 1928 section 6: the address it connects from follows; nobody here asks for it.
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(stream.read_u8().await?),
        other => return refuse(format!("it answered with an address of the unknown kind {other}")),
    };
    let mut bound = [0; 255 + 2];
    stream.read_exact(&mut bound[..length + 2]).await?;
    Ok(Ok(()))
}

fn login_refused(proxy: &Proxy) -> Error {
    let reason = if proxy.login.is_some() { ", and not those that were given" } else { "" };
    Error::ProxyAuthentication { proxy: proxy.to_string(), reason: reason.to_owned() }
}

/// RFC 1928 section 6.
fn reply_as_words(reply: u8) -> String {
    match reply {
        1 => "a failure of the proxy's own".to_owned(),
        2 => "its rules forbid it".to_owned(),
        3 => "the network is unreachable from it".to_owned(),
        4 => "the host is unreachable from it; is the name right?".to_owned(),
        5 => "the host refused the connection; check the port, or whether the server runs".to_owned(),
        6 => "the time to live ran out on the way".to_owned(),
        7 => "it does not make connections".to_owned(),
        8 => "it does not know this kind of address".to_owned(),
        other => format!("the unknown reply {other}"),
    }
}
