//! `wharf tls`: what a server's TLS agrees on, its certificates, and what is wrong with them.

pub(crate) mod session;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use wharf::aio::TcpStream;
use wharf::http::{Dial, OverNet};
use wharf::tls::{Agreed, Certificate, Connector, EarlyData, Settled, TlsStream, Trust, settle};

use self::session::PATIENCE;
use crate::args::Tls;
use crate::exit::Failure;
use crate::network::{self, Network};
use crate::output::{self, Output};

/// How long a server may take, once the handshake is done, to send tickets or to refuse the client after all.
const SETTLING: Duration = Duration::from_secs(2);

/// Most of a certificate's names that people are shown; --json has them all.
const NAMES_SHOWN: usize = 8;

/// Runs the command.
pub(crate) async fn run(args: Tls, output: Output) -> Result<(), Failure> {
    let alpn: Vec<&str> = args.alpn.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    if let Some(name) = alpn.iter().find(|name| name.len() > 255) {
        return Err(Failure::usage(format!("an application protocol has at most 255 bytes: {name:?}")));
    }
    let connector = args.session.connector()?.alpn(&alpn).build()?;
    let network = network::bring_up(&args.network).await?;
    let patience = args.network.timeout.unwrap_or(PATIENCE);
    let visit = Visit {
        network,
        connector,
        host: args.place.host.clone(),
        port: args.place.port,
        name: args.servername.clone().unwrap_or_else(|| args.place.host.clone()),
        patience,
    };
    visit.report(args.resume, output).await
}

/// A server about to be looked at.
struct Visit {
    network: Network,
    connector: Connector,
    host: String,
    port: u16,
    /// The name expected in the certificate.
    name: String,
    patience: Duration,
}

impl Visit {
    async fn report(&self, resume: bool, output: Output) -> Result<(), Failure> {
        let (stream, remote) = self.dial().await?;
        output.line(format!("connected to {}", self.place(remote)));
        let examined = self.connector.examine(&self.name, stream, self.patience).await;
        let chain: Vec<_> = examined.chain.iter().map(|der| Certificate::parse(der)).collect();
        let mut object = json!({
            "host": self.host, "port": self.port, "address": remote.to_string(), "servername": self.name,
            "chain": chain.iter().map(certificate_as_json).collect::<Vec<_>>(),
        });

        let outcome = match examined.outcome {
            Ok(mut stream) => {
                let agreed = Agreed::of(&stream);
                let settled = settle(&mut stream, &self.name, SETTLING.min(self.patience)).await;
                end(stream).await;
                settled.map(|settled| (agreed, settled))
            }
            Err(error) => Err(error),
        };
        if let Ok((agreed, settled)) = &outcome {
            tell_agreed(agreed, output);
            object["agreed"] = agreed_as_json(agreed);
            object["tickets"] = json!(settled.tickets);
        }
        tell_chain(&chain, output);
        match outcome {
            Ok((agreed, settled)) => {
                let checked = *self.connector.trust() != Trust::DangerouslyAnything;
                object["verified"] = json!(checked);
                output.line(format!("verification  {}", self.verdict()));
                if resume {
                    let second = self.again(&agreed, &settled).await?;
                    output.line(format!("resumption    {}", second.text));
                    output.line(format!("early data    {}", early_as_words(second.early)));
                    object["resumed"] = json!(second.resumed);
                    object["early_data"] = json!(early_as_json(second.early));
                }
                output.object(&object);
                Ok(())
            }
            Err(error) => {
                let failure = Failure::from(error);
                object["verified"] = json!(false);
                object["error"] = json!(failure.to_string());
                object["status"] = json!(failure.status as u8);
                output::note(format!("wharf tls: {failure}"));
                output.object(&object);
                Err(Failure::told(failure.status))
            }
        }
    }

    /// A second connection, after the one that agreed on `first`.
    async fn again(&self, first: &Agreed, settled: &Settled) -> Result<Second, Failure> {
        let (stream, _) = self.dial().await?;
        // Nothing is sent early, so that nothing can be sent again by others: whether the server would take it shows.
        let (mut stream, early) = self.connector.connect_early(&self.name, stream, b"", self.patience).await?;
        let resumed = Agreed::of(&stream).resumed;
        settle(&mut stream, &self.name, SETTLING.min(self.patience)).await?;
        end(stream).await;
        let text = match resumed {
            true => "a second connection resumed the session",
            false if first.version == "TLS 1.3" && settled.tickets == 0 => {
                "a second connection did not resume the session: the server sent no ticket"
            }
            false => "a second connection did not resume the session",
        };
        Ok(Second { resumed, early, text })
    }

    async fn dial(&self) -> Result<(TcpStream, SocketAddr), Failure> {
        let dial = OverNet::new(self.network.net.clone(), self.network.resolver.clone());
        match dial.dial(&self.host, self.port, self.patience).await {
            Ok(dialed) => Ok((dialed.stream, dialed.remote)),
            Err(error) => Err(self.network.explain(error).await),
        }
    }

    fn place(&self, remote: SocketAddr) -> String {
        match self.host == remote.ip().to_string() {
            true => remote.to_string(),
            false => format!("{}:{} ({remote})", self.host, self.port),
        }
    }

    fn verdict(&self) -> String {
        let by = match self.connector.trust() {
            Trust::DangerouslyAnything => return "not done (--insecure)".to_owned(),
            Trust::File(path) => path.display().to_string(),
            Trust::System => "this system's authorities".to_owned(),
            _ => "the Mozilla roots".to_owned(),
        };
        format!("the certificate is {}'s, by {by}", self.name)
    }
}

/// What a second connection showed.
struct Second {
    resumed: bool,
    early: EarlyData,
    text: &'static str,
}

/// Says goodbye. The server may be gone already.
async fn end(mut stream: TlsStream<TcpStream>) {
    let _ = tokio::time::timeout(SETTLING, stream.shutdown()).await;
}

fn tell_agreed(agreed: &Agreed, output: Output) {
    output.line(format!("version       {}", agreed.version));
    output.line(format!("cipher suite  {}", agreed.cipher_suite));
    output.line(format!("key exchange  {}", agreed.key_exchange.as_deref().unwrap_or("none")));
    output.line(format!("application   {}", agreed.application.as_deref().unwrap_or("none agreed on")));
}

fn tell_chain(chain: &[Result<Certificate, String>], output: Output) {
    for (number, certificate) in chain.iter().enumerate() {
        output.line(format!("certificate {}", number + 1));
        let certificate = match certificate {
            Ok(certificate) => certificate,
            Err(reason) => {
                output.line(format!("  cannot be read: {reason}"));
                continue;
            }
        };
        let Certificate { subject, issuer, not_before, not_after, key, signature, names, fingerprint, .. } =
            certificate;
        output.line(format!("  subject     {}", if subject.is_empty() { "none" } else { subject }));
        output.line(format!("  issuer      {issuer}"));
        if !names.is_empty() {
            let more = names.len().saturating_sub(NAMES_SHOWN);
            let shown = names[..names.len().min(NAMES_SHOWN)].join(", ");
            output.line(format!(
                "  names       {shown}{}",
                if more > 0 { format!(" and {more} more") } else { String::new() }
            ));
        }
        output.line(format!("  valid       {not_before} to {not_after}"));
        output.line(format!("  key         {key}, signed with {signature}"));
        output.line(format!("  SHA-256     {fingerprint}"));
    }
}

fn certificate_as_json(certificate: &Result<Certificate, String>) -> Value {
    match certificate {
        Err(reason) => json!({ "error": reason }),
        Ok(certificate) => json!({
            "subject": certificate.subject, "issuer": certificate.issuer, "serial": certificate.serial,
            "not_before": certificate.not_before.to_string(), "not_after": certificate.not_after.to_string(),
            "key": certificate.key, "signature": certificate.signature, "names": certificate.names,
            "is_authority": certificate.is_authority, "sha256": certificate.fingerprint,
        }),
    }
}

fn agreed_as_json(agreed: &Agreed) -> Value {
    json!({
        "version": agreed.version, "cipher_suite": agreed.cipher_suite, "key_exchange": agreed.key_exchange,
        "application": agreed.application,
    })
}

fn early_as_words(early: EarlyData) -> &'static str {
    match early {
        EarlyData::NotOffered => "the server does not take any",
        EarlyData::Accepted => "the server takes it (0-RTT)",
        EarlyData::Rejected => "the server promised to take it, and refused",
    }
}

fn early_as_json(early: EarlyData) -> &'static str {
    match early {
        EarlyData::NotOffered => "not offered",
        EarlyData::Accepted => "accepted",
        EarlyData::Rejected => "rejected",
    }
}
