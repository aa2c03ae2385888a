//! An HTTP client (RFC 9110) over Wharf's sockets: HTTP/1.1 (RFC 9112), HTTP/2 (RFC 9113) and HTTP/3 (RFC 9114),
//! http and https, redirects, proxies, time limits and bodies that stream both ways. hyper and h3 speak the protocols;
//! this module owns what stands around them: connections and who may use them, second attempts, credentials, what is
//! kept, and what an error means.
//!
//! A request's way: [`Client::send`] follows redirects (`client`, `redirect`), each hop asks what is kept (`keeping`),
//! then goes over the network (`attempt`), on a connection of the `pool` or of `h3`, as an exchange of `h1`, `h2` or
//! `h3`.
//!
//! ```no_run
//! # async fn example(net: wharf::Net) -> Result<(), Box<dyn std::error::Error>> {
//! let client = wharf::http::Client::new(net, wharf::tls::Trust::Mozilla)?;
//! let mut response = client.send(wharf::http::Request::get("https://example.com/")?).await?;
//! while let Some(bytes) = response.body.chunk().await? {
//!     println!("{} bytes", bytes.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A body that ends before its announced length is an error, never a short success.
//!
//! Bodies of requests stream as well, and versions and proxies can be chosen:
//!
//! ```no_run
//! use wharf::http::{Client, Method, Proxies, Proxy, Request, Versions};
//!
//! # async fn example(net: wharf::Net) -> Result<(), Box<dyn std::error::Error>> {
//! let proxies = Proxies::all(Proxy::new("socks5h://proxy.example:1080")?).except("intranet.example,10.0.0.0/8");
//! let client = Client::new(net, wharf::tls::Trust::Mozilla)?.with_versions(Versions::Http2).with_proxies(proxies);
//! let (request, sender) = Request::new(Method::PUT, "https://example.com/log")?.expect_continue().body_channel(None);
//! let answered = tokio::spawn(async move { client.send(request).await.map(|response| response.status) });
//! for line in ["one\n", "two\n"] {
//!     sender.send(line).await?;
//! }
//! drop(sender);
//! println!("{}", answered.await??);
//! # Ok(())
//! # }
//! ```

mod attempt;
mod body;
mod cache;
mod client;
mod coding;
mod connect;
mod cookies;
mod dial;
mod early;
mod error;
mod exchange;
mod h1;
mod h2;
mod h3;
mod head;
mod keeping;
mod pool;
mod proxy;
mod redirect;
mod request;
mod timing;
mod upload;

pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
pub use body::Body;
pub use cache::{Cache, CacheCounts, CacheError, CacheUse};
pub use client::{Client, Response, Timeouts, Versions, send_over};
pub use coding::{CodingError, DecodingBounds, MAX_CODINGS};
pub use cookies::{Cookies, CookiesError};
#[cfg(feature = "ws")]
pub(crate) use dial::destination;
pub use dial::{Binding, Dial, Dialed, Dialing, OverNet, Resolving};
pub use error::{Error, Layer};
pub use pool::{MAX_CONNECTIONS, MAX_WAITING};
pub use proxy::{Proxies, Proxy};
pub use redirect::MAX_REDIRECTS;
pub use request::Request;
pub use timing::Timing;
pub use upload::{BodyReader, BodySender};
pub use url::Url;

#[cfg(test)]
mod tests;
