//! `-W`: standard input and output joined with a place that the server reaches. It is what `ProxyCommand` of other
//! programs wants.

use tokio::io::{AsyncWriteExt, copy, split};
use wharf::ssh::Session;

/// Carries bytes both ways until the far end has said all. The end of standard input is told and is not the end.
pub(super) async fn carry(session: &Session, (host, port): &(String, u16)) -> Result<u8, String> {
    let stream = session.direct(host, *port, ("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
    let (mut from, mut to) = split(stream);
    let typing = tokio::spawn(async move {
        if copy(&mut tokio::io::stdin(), &mut to).await.is_ok() {
            let _ = to.shutdown().await;
        }
        // Its end would close the channel, which still has something to say.
        to
    });
    let mut stdout = tokio::io::stdout();
    let told = async {
        copy(&mut from, &mut stdout).await?;
        stdout.flush().await
    };
    let outcome = told.await;
    typing.abort();
    match (outcome, session.is_closed()) {
        (_, true) => Err(format!("the connection is gone: {}", session.end().unwrap_or_default())),
        (Ok(()), false) => Ok(0),
        (Err(error), false) => Err(format!("standard output takes no more: {error}")),
    }
}
