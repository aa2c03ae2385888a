//! Connections to servers with our eye on them: each question is told to the observer, bounded in time, and its answer
//! judged before hickory's pools see it. `stub` and `recursion` build their pools on this.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, stream};
use hickory_resolver::config::{ConnectionConfig, ProtocolConfig};
use hickory_resolver::net::runtime::RuntimeProvider;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse, Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{ConnectionProvider, PoolContext};

use super::complaints::Complaints;
use super::exchange::{Exchange, Observer, code, outcome};
use super::record::plain;

/// What is asked of the servers at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// They look names up for us.
    Resolvers,
    /// They know their own zones, and are lame where they do not.
    Authorities,
}

/// Makes connections over the sockets of `P`.
#[derive(Clone)]
pub(super) struct Watched<P> {
    runtime: P,
    role: Role,
    /// The time one question to one server may take.
    patience: Duration,
    observer: Option<Observer>,
    complaints: Complaints,
}

impl<P> Watched<P> {
    pub(super) fn new(
        runtime: P,
        role: Role,
        patience: Duration,
        observer: Option<Observer>,
        complaints: Complaints,
    ) -> Self {
        Self { runtime, role, patience, observer, complaints }
    }
}

type Connecting<C> = Pin<Box<dyn Future<Output = Result<C, NetError>> + Send>>;

impl<P: RuntimeProvider> ConnectionProvider for Watched<P> {
    type Conn = WatchedConnection<P>;
    type FutureConn = Connecting<WatchedConnection<P>>;
    type RuntimeProvider = P;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        context: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let server = SocketAddr::new(ip, config.port);
        let transport = match &config.protocol {
            ProtocolConfig::Udp => "UDP",
            ProtocolConfig::Tcp => "TCP",
            ProtocolConfig::Tls { .. } => "TLS",
            ProtocolConfig::Https { .. } => "HTTPS",
        };
        let connecting = self.runtime.new_connection(ip, config, context)?;
        let Self { role, patience, observer, complaints, .. } = self.clone();
        Ok(Box::pin(async move {
            let started = Instant::now();
            let connected = tokio::time::timeout(patience, connecting).await.unwrap_or(Err(NetError::Timeout));
            match connected {
                Ok(exchange) => {
                    Ok(WatchedConnection { exchange, server, transport, role, patience, observer, complaints })
                }
                Err(error) => {
                    complaints.note(Name::root(), of_no_use(server, &error), error.clone());
                    if let Some(observer) = &observer {
                        observer(&Exchange {
                            server,
                            transport,
                            name: String::new(),
                            kind: "connection".to_owned(),
                            took: started.elapsed(),
                            outcome: error.to_string(),
                        });
                    }
                    Err(error)
                }
            }
        }))
    }

    fn runtime_provider(&self) -> &P {
        &self.runtime
    }
}

/// A connection to one server.
#[derive(Clone)]
pub(super) struct WatchedConnection<P: RuntimeProvider> {
    exchange: DnsExchange<P>,
    server: SocketAddr,
    transport: &'static str,
    role: Role,
    patience: Duration,
    observer: Option<Observer>,
    complaints: Complaints,
}

impl<P: RuntimeProvider> DnsHandle for WatchedConnection<P> {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = P;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let connection = self.clone();
        Box::pin(stream::once(async move { connection.ask(request).await }))
    }
}

impl<P: RuntimeProvider> WatchedConnection<P> {
    async fn ask(self, request: DnsRequest) -> Result<DnsResponse, NetError> {
        let started = Instant::now();
        let question = request.queries.first().cloned();
        let mut answers = self.exchange.send(request);
        let answer = match tokio::time::timeout(self.patience, answers.next()).await {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(_) => Err(NetError::Timeout),
        };
        // An answer that cannot be read, cut off by its length for one, may be whole over TCP.
        let answer = match answer {
            Err(NetError::Proto(_)) if self.transport == "UDP" => {
                let mut cut = Message::response(0, OpCode::Query);
                cut.metadata.truncation = true;
                cut.add_queries(question.clone());
                Ok(DnsResponse::from_message(cut)?)
            }
            answer => answer,
        };
        if let (Some(observer), Some(question)) = (&self.observer, &question) {
            observer(&Exchange {
                server: self.server,
                transport: self.transport,
                name: plain(question.name()),
                kind: question.query_type().to_string(),
                took: started.elapsed(),
                outcome: match &answer {
                    Ok(answer) => outcome(answer),
                    Err(NetError::Timeout) => "no answer".to_owned(),
                    Err(error) => error.to_string(),
                },
            });
        }
        let complain = |text: String, error: NetError| {
            if let Some(question) = &question {
                self.complaints.note(question.name().clone(), text, error.clone());
            }
            error
        };
        let answer = answer.map_err(|error| complain(of_no_use(self.server, &error), error))?;
        match self.role {
            Role::Resolvers => Ok(answer),
            Role::Authorities => Self::unless_lame(answer, question.as_ref()).map_err(|how| {
                let text = format!("{} is lame for this zone: {how}", self.server);
                // Of hickory's errors it is those of the connection that lead to the next server.
                complain(text.clone(), NetError::from(io::Error::new(io::ErrorKind::ConnectionAborted, text)))
            }),
        }
    }

    /// The answer of a server that is to know the zone; one that does not is passed over for the next.
    fn unless_lame(answer: DnsResponse, question: Option<&Query>) -> Result<DnsResponse, String> {
        match answer.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            other => return Err(format!("it answers {}", code(other))),
        }
        if answer.authoritative || answer.truncation || !answer.answers.is_empty() {
            return Ok(answer);
        }
        let referral = answer.authorities.iter().find(|record| record.record_type() == RecordType::NS);
        match (referral, question) {
            (None, _) => Err("it answers without authority".to_owned()),
            // RFC 1034 section 5.3.3: a referral has to lead closer. The recursor asks for the NS records of one label
            // after the other, so that closer is the name asked for, and nothing else.
            (Some(referral), Some(question))
                if question.query_type() != RecordType::NS || referral.name != *question.name() =>
            {
                Err(format!("it refers us to those of {}", plain(&referral.name)))
            }
            _ => Ok(answer),
        }
    }
}

fn of_no_use(server: SocketAddr, error: &NetError) -> String {
    match error {
        NetError::Timeout => format!("{server} does not answer"),
        other => format!("{server} is of no use: {other}"),
    }
}

/// The message inside hickory's error for an answer without records: it is an answer like any other here.
pub(super) fn negative(error: NetError) -> Result<Message, NetError> {
    let NetError::Dns(DnsError::NoRecordsFound(none)) = error else { return Err(error) };
    let mut message = Message::response(0, OpCode::Query);
    message.metadata.response_code = none.response_code;
    message.add_query(*none.query);
    for record in none.authorities.iter().flat_map(|records| records.iter()) {
        message.add_authority(record.clone());
    }
    if let Some(soa) = none.soa {
        let soa = soa.into_record_of_rdata();
        if !message.authorities.contains(&soa) {
            message.add_authority(soa);
        }
    }
    Ok(message)
}
