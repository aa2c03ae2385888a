//! Both ends of ours: what they agree on, resumption, early data, client certificates, key logs and idle limits.

use std::io;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::super::{
    Accepted, Acceptor, AcceptorBuilder, Agreed, Certificate, Clients, Connector, EarlyData, Error, Identity,
    IdleLimit, KeyLog, TlsStream, Trust, Versions,
};
use super::{PATIENCE, authority, trusting};

/// A certificate for `name` from `issuer`, with its key.
fn identity(issuer: &CertifiedIssuer<'static, KeyPair>, name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
    Identity::from_der(vec![certificate.der().to_vec()], key.serialize_der()).unwrap()
}

/// One session: the client sends `early` early, then "ping"; the server answers what it got.
async fn session(
    connector: &Connector,
    acceptor: &Acceptor,
    early: &[u8],
) -> (Result<(Agreed, EarlyData, Vec<u8>), Error>, Result<Agreed, Error>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let client = async {
        let (mut stream, fate) = connector.connect_early("h", near, early, PATIENCE).await?;
        let agreed = Agreed::of(&stream);
        let answer = exchange(&mut stream).await.map_err(|source| Error::Connection { name: "h".into(), source })?;
        Ok((agreed, fate, answer))
    };
    let server = async {
        let Accepted { mut stream, early } = acceptor.accept(far, PATIENCE).await?;
        let mut said = [0; 4];
        // A client that refused us is gone.
        if stream.read_exact(&mut said).await.is_ok() {
            let _ = stream.write_all(&[&early[..], &said].concat()).await;
            let _ = stream.shutdown().await;
        }
        Ok(Agreed::of_server(&stream))
    };
    tokio::join!(client, server)
}

async fn exchange(stream: &mut TlsStream<DuplexStream>) -> io::Result<Vec<u8>> {
    stream.write_all(b"ping").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

fn acceptor(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    adjust: impl FnOnce(AcceptorBuilder) -> AcceptorBuilder,
) -> Acceptor {
    adjust(Acceptor::builder(identity(issuer, "h"))).build().unwrap()
}

#[tokio::test]
async fn both_ends_agree_on_version_and_protocol() {
    let issuer = authority("one");
    for (versions, name) in [(Versions::Both, "TLS 1.3"), (Versions::Tls13, "TLS 1.3"), (Versions::Tls12, "TLS 1.2")] {
        let acceptor = acceptor(&issuer, |builder| builder.alpn(&["b", "a"]));
        let connector = Connector::builder(trusting(&issuer)).alpn(&["a", "b"]).versions(versions).build().unwrap();
        let (client, server) = session(&connector, &acceptor, b"").await;
        let (client, ..) = client.unwrap();
        assert_eq!(client, server.unwrap());
        // The server's preference counts (RFC 7301 section 3.2).
        assert_eq!((client.version, client.application.as_deref(), client.resumed), (name, Some("b"), false));
    }
}

#[tokio::test]
async fn no_version_in_common_is_told_by_both() {
    let issuer = authority("one");
    let acceptor = acceptor(&issuer, |builder| builder.versions(Versions::Tls13));
    let connector = Connector::builder(trusting(&issuer)).versions(Versions::Tls12).build().unwrap();
    let (client, server) = session(&connector, &acceptor, b"").await;
    assert!(matches!(client, Err(Error::Alert { .. })), "{client:?}");
    assert!(matches!(server, Err(Error::Handshake { .. })), "{server:?}");
}

#[tokio::test]
async fn a_second_session_resumes_and_a_third_with_another_protocol_too() {
    let issuer = authority("one");
    for versions in [Versions::Tls13, Versions::Tls12] {
        let acceptor = acceptor(&issuer, |builder| builder.alpn(&["a", "b"]).versions(versions));
        let connector = Connector::new(trusting(&issuer), &["a"]).unwrap();
        let mut resumed = Vec::new();
        for connector in [&connector, &connector.clone(), &connector.with_alpn(&["b"])] {
            resumed.push(session(connector, &acceptor, b"").await.0.unwrap().0.resumed);
        }
        assert_eq!(resumed, [false, true, true], "{versions:?}");
    }
}

#[tokio::test]
async fn sessions_are_not_resumed_where_one_end_forgets_them() {
    let issuer = authority("one");
    let forgetful = Connector::builder(trusting(&issuer)).sessions(0).build().unwrap();
    let connector = Connector::builder(trusting(&issuer)).build().unwrap();
    for (connector, resumption) in [(forgetful, true), (connector, false)] {
        let acceptor = acceptor(&issuer, |builder| builder.resumption(resumption));
        for _ in 0..2 {
            assert!(!session(&connector, &acceptor, b"").await.0.unwrap().0.resumed);
        }
    }
}

#[tokio::test]
async fn a_session_of_a_connector_that_believes_anything_is_never_resumed_by_one_that_checks() {
    let issuer = authority("one");
    let acceptor = acceptor(&issuer, |builder| builder);
    let careless = Connector::new(Trust::DangerouslyAnything, &[]).unwrap();
    assert!(session(&careless, &acceptor, b"").await.0.is_ok());
    let careful = Connector::new(trusting(&authority("two")), &[]).unwrap();
    let (client, _) = session(&careful, &acceptor, b"").await;
    assert!(client.unwrap_err().is_certificate());
}

#[tokio::test]
async fn early_data_arrives_before_the_rest_and_only_in_a_resumed_session() {
    let issuer = authority("one");
    let acceptor = acceptor(&issuer, |builder| builder.early_data(16));
    let connector = Connector::new(trusting(&issuer), &[]).unwrap();
    let (_, fate, answer) = session(&connector, &acceptor, b"early ").await.0.unwrap();
    assert_eq!((fate, &answer[..]), (EarlyData::NotOffered, &b"ping"[..]));
    let (agreed, fate, answer) = session(&connector, &acceptor, b"early ").await.0.unwrap();
    assert_eq!((fate, &answer[..]), (EarlyData::Accepted, &b"early ping"[..]));
    assert!(agreed.resumed);
    // More than the server takes is not sent in part.
    let (_, fate, answer) = session(&connector, &acceptor, b"far too much for sixteen").await.0.unwrap();
    assert_eq!((fate, &answer[..]), (EarlyData::NotOffered, &b"ping"[..]));
}

#[tokio::test]
async fn early_data_that_the_server_throws_away_is_told() {
    let issuer = authority("one");
    let own = identity(&issuer, "h");
    let generous = Acceptor::builder(own.clone()).early_data(1024).build().unwrap();
    let connector = Connector::new(trusting(&issuer), &[]).unwrap();
    assert!(session(&connector, &generous, b"").await.0.is_ok());
    // The same server after a restart knows nothing of the session.
    let forgetful = Acceptor::builder(own).build().unwrap();
    let (agreed, fate, answer) = session(&connector, &forgetful, b"early ").await.0.unwrap();
    assert_eq!((agreed.resumed, fate, &answer[..]), (false, EarlyData::Rejected, &b"ping"[..]));
}

#[tokio::test]
async fn clients_are_known_by_their_certificates_where_the_server_asks() {
    let (issuer, stranger) = (authority("one"), authority("two"));
    let known = Connector::builder(trusting(&issuer)).identity(identity(&issuer, "me")).build().unwrap();
    let anonymous = Connector::builder(trusting(&issuer)).build().unwrap();
    let strange = Connector::builder(trusting(&issuer)).identity(identity(&stranger, "me")).build().unwrap();
    let strict = acceptor(&issuer, |builder| builder.clients(Clients::Known(trusting(&issuer))));
    let lenient = acceptor(&issuer, |builder| builder.clients(Clients::Asked(trusting(&issuer))));
    assert!(session(&known, &strict, b"").await.0.is_ok());
    assert!(session(&known, &lenient, b"").await.0.is_ok());
    assert!(session(&anonymous, &lenient, b"").await.0.is_ok());
    let (client, server) = session(&anonymous, &strict, b"").await;
    assert!(client.unwrap_err().to_string().contains("CertificateRequired"), "the alert comes with the first read");
    assert!(server.unwrap_err().to_string().contains("none was shown"));
    let (client, server) = session(&strange, &strict, b"").await;
    assert!(client.is_err());
    assert!(matches!(server, Err(Error::UnknownIssuer { .. })), "{server:?}");
}

#[test]
fn clients_cannot_be_known_by_any_certificate_at_all() {
    let builder =
        Acceptor::builder(identity(&authority("one"), "h")).clients(Clients::Known(Trust::DangerouslyAnything));
    assert!(matches!(builder.build(), Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn anything_is_believed_where_that_is_asked_for_and_what_was_shown_is_told() {
    let issuer = authority("one");
    let acceptor = acceptor(&issuer, |builder| builder);
    for (trust, believed) in [(Trust::DangerouslyAnything, true), (Trust::Mozilla, false)] {
        let connector = Connector::new(trust, &[]).unwrap();
        let (near, far) = tokio::io::duplex(1 << 16);
        let (examined, _) = tokio::join!(connector.examine("other", near, PATIENCE), acceptor.accept(far, PATIENCE));
        assert_eq!(examined.outcome.is_ok(), believed);
        let shown = Certificate::parse(&examined.chain[0]).unwrap();
        assert_eq!((examined.chain.len(), shown.names), (1, vec!["h".to_owned()]));
    }
}

#[tokio::test]
async fn what_is_missing_between_a_certificate_and_an_authority_is_told() {
    let issuer = authority("one");
    let hint = async |identity: Identity| {
        let acceptor = Acceptor::new(identity, &[]).unwrap();
        let connector = Connector::new(Trust::Mozilla, &[]).unwrap();
        session(&connector, &acceptor, b"").await.0.unwrap_err().to_string()
    };
    let alone = hint(identity(&issuer, "h")).await;
    assert!(alone.contains("ends at CN=one, whose certificate the server did not send"), "{alone}");
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["h".to_owned()]).unwrap().self_signed(&key).unwrap();
    let own = hint(Identity::from_der(vec![own.der().to_vec()], key.serialize_der()).unwrap()).await;
    assert!(own.contains("it is self-signed"), "{own}");
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["h".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let whole = vec![leaf.der().to_vec(), issuer.der().to_vec()];
    let whole = hint(Identity::from_der(whole, key.serialize_der()).unwrap()).await;
    assert!(whole.contains("the chain ends at the authority CN=one"), "{whole}");
}

#[tokio::test]
async fn secrets_are_logged_where_that_is_asked_for_and_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let issuer = authority("one");
    let path = std::env::temp_dir().join(format!("wharf-key-log-{}", std::process::id()));
    let log = KeyLog::append_to(&path).unwrap();
    let connector = Connector::builder(trusting(&issuer)).key_log(log).build().unwrap();
    assert!(session(&connector, &acceptor(&issuer, |builder| builder), b"").await.0.is_ok());
    let text = std::fs::read_to_string(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    std::fs::remove_file(&path).unwrap();
    assert!(text.lines().any(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 ")), "{text}");
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(KeyLog::append_to("/nonexistent/log".as_ref()), Err(Error::KeyLog { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_ends_and_one_in_use_does_not() {
    let (near, mut far) = tokio::io::duplex(64);
    let mut near = IdleLimit::new(near, PATIENCE);
    let mut byte = [0];
    for _ in 0..5 {
        tokio::time::sleep(PATIENCE / 2).await;
        far.write_all(b"x").await.unwrap();
        near.read_exact(&mut byte).await.unwrap();
    }
    let error = near.read_exact(&mut byte).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_given_up() {
    let issuer = authority("one");
    let (_near, far) = tokio::io::duplex(64);
    let error = acceptor(&issuer, |builder| builder).accept(far, PATIENCE).await.err().unwrap();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
}

#[test]
fn identities_that_do_not_fit_are_refused_with_the_reason() {
    let issuer = authority("one");
    let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = CertificateParams::new(vec!["h".to_owned()]).unwrap().signed_by(&one, &issuer).unwrap();
    assert!(Identity::from_pem(&certificate.pem(), &one.serialize_pem()).is_ok());
    let text = |result: Result<Identity, Error>| result.unwrap_err().to_string();
    assert!(text(Identity::from_pem(&certificate.pem(), &other.serialize_pem())).contains("not the one"));
    assert!(text(Identity::from_pem("", &one.serialize_pem())).contains("no certificate"));
    assert!(text(Identity::from_pem(&certificate.pem(), "")).contains("no private key"));
    let missing = std::path::Path::new("/nonexistent.pem");
    assert!(text(Identity::from_pem_files(missing, missing)).contains("No such file"));
    assert!(!format!("{:?}", Identity::from_pem(&certificate.pem(), &one.serialize_pem()).unwrap()).contains("key"));
}

#[test]
fn certificates_are_read_whatever_they_hold() {
    let issuer = authority("evil\u{1b}[2J");
    let key = KeyPair::generate().unwrap();
    let names = vec!["h".to_owned(), "192.0.2.7".to_owned(), "2001:db8::1".to_owned()];
    let der = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap().der().to_vec();
    let read = Certificate::parse(&der).unwrap();
    assert_eq!(read.names, ["h", "192.0.2.7", "2001:db8::1"]);
    assert_eq!((read.key.as_str(), read.signature.as_str()), ("ECDSA P-256", "ECDSA SHA-256"));
    assert_eq!(read.issuer, "CN=evil\u{fffd}[2J");
    assert!(!read.is_authority && Certificate::parse(issuer.der()).unwrap().is_authority);
    assert_eq!(read.fingerprint.len(), 64);
    for end in 0..der.len() {
        assert!(Certificate::parse(&der[..end]).is_err());
    }
    // Changed anywhere, it is another certificate or none, and no reason to panic.
    for at in 0..der.len() {
        for value in [0, 0x7f, 0xff] {
            let mut changed = der.clone();
            changed[at] = value;
            let _ = Certificate::parse(&changed);
        }
    }
}
