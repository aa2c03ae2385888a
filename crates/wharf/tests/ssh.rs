//! SSH sessions with a server of another make, over a pipe: what OpenSSH's server cannot be made to do in a namespace.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::server::{Auth, Msg, Response, Session as ServerSession};
use russh::{Channel, ChannelId, MethodKind, MethodSet, Preferred, kex};
use wharf::ssh::{Credentials, Error, Event, Exit, HostKeyPolicy, Options, Questions, Session};

/// A person who answers by rote and remembers what was said.
#[derive(Default)]
struct Rote {
    answers: Mutex<Vec<&'static str>>,
    heard: Mutex<Vec<String>>,
}

impl Rote {
    fn new(answers: &[&'static str]) -> Arc<Self> {
        let answers = answers.iter().rev().copied().collect();
        Arc::new(Self { answers: Mutex::new(answers), heard: Mutex::default() })
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().join("\n")
    }
}

impl Questions for Rote {
    fn confirm(&self, text: &str, _: &str) -> Option<bool> {
        self.heard.lock().unwrap().push(text.to_owned());
        self.answers.lock().unwrap().pop().map(|answer| answer == "yes")
    }

    fn secret(&self, prompt: &str, echo: bool) -> Option<String> {
        self.heard.lock().unwrap().push(format!("{prompt}{}", if echo { "shown" } else { "hidden" }));
        self.answers.lock().unwrap().pop().map(str::to_owned)
    }

    fn tell(&self, text: &str) {
        self.heard.lock().unwrap().push(text.to_owned());
    }
}

/// What the server does.
#[derive(Clone, Default)]
struct Server {
    /// It asks one round more than it needs.
    rounds: Arc<AtomicUsize>,
}

impl russh::server::Handler for Server {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        // This server strikes a way from its list unless it is told otherwise.
        let again = Some(MethodSet::from(&[MethodKind::Password][..]));
        Ok(match (user, password) {
            ("me", "right") => Auth::Accept,
            _ => Auth::Reject { proceed_with_methods: again, partial_success: false },
        })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let answers: Vec<String> = response
            .map(|response| response.map(|one| String::from_utf8_lossy(&one).into_owned()).collect())
            .unwrap_or_default();
        match self.rounds.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(Auth::Partial {
                name: "The\u{1b}[31m server".into(),
                instructions: "asks".into(),
                prompts: Cow::Owned(vec![("Colour? ".into(), true), ("Code? ".into(), false)]),
            }),
            1 if answers == ["blue", "42"] => {
                Ok(Auth::Partial { name: "".into(), instructions: "".into(), prompts: Cow::Owned(Vec::new()) })
            }
            2 if answers.is_empty() => Ok(Auth::Accept),
            _ => Ok(Auth::reject()),
        }
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: russh::server::ChannelOpenHandle,
        _: &mut ServerSession,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut ServerSession,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        session.data(channel, data.to_vec())?;
        let handle = session.handle();
        tokio::spawn(async move {
            // A server that reaches for what it was never given.
            let reached = handle.channel_open_forwarded_tcpip("localhost", 22, "evil", 1).await.is_ok();
            let opened = handle.channel_open_session().await.is_ok();
            let agent = handle.channel_open_agent().await.is_ok();
            let _ = handle.data(channel, format!(" {reached} {opened} {agent}")).await;
            let _ = handle.exit_status_request(channel, 3).await;
            let _ = handle.eof(channel).await;
            let _ = handle.close(channel).await;
        });
        Ok(())
    }
}

fn host_key() -> PrivateKey {
    Ed25519Keypair::from_seed(&[9; 32]).into()
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ssh-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Connects to a server of its own, which takes `methods`.
async fn connect(
    name: &str,
    methods: &[MethodKind],
    preferred: Preferred,
    policy: HostKeyPolicy,
    questions: Arc<dyn Questions>,
) -> Result<Session, Error> {
    let config = russh::server::Config {
        keys: vec![host_key()],
        methods: MethodSet::from(methods),
        preferred,
        auth_rejection_time: Duration::from_millis(1),
        auth_rejection_time_initial: Some(Duration::ZERO),
        ..russh::server::Config::default()
    };
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        if let Ok(session) = russh::server::run_stream(Arc::new(config), theirs, Server::default()).await {
            let _ = session.await;
        }
    });
    let known_hosts = vec![folder(name).join("known_hosts")];
    let options = Options { known_hosts, host_keys: policy, ..Options::default() };
    Session::over(ours, "host", 22, &options, questions).await
}

fn only(kex: kex::Name) -> Preferred {
    Preferred { kex: Cow::Owned(vec![kex]), ..Preferred::DEFAULT }
}

#[tokio::test]
async fn the_servers_questions_are_asked_as_they_are_and_answered_in_order() {
    let rote = Rote::new(&["yes", "blue", "42"]);
    let mut session = connect(
        "interactive",
        &[MethodKind::KeyboardInteractive],
        only(kex::MLKEM768X25519_SHA256),
        HostKeyPolicy::Ask,
        rote.clone(),
    )
    .await
    .unwrap();
    session.authenticate(&Credentials::new("me")).await.unwrap();
    let heard = rote.heard();
    assert!(heard.contains("(me@host) Colour? shown") && heard.contains("(me@host) Code? hidden"), "{heard}");
    assert!(heard.contains("asks") && !heard.contains('\u{1b}'), "{heard}");
    // The program's output, its status, and a server whose reaching was in vain.
    let (mut program, input) = session.exec(b"what", None, &[]).await.unwrap();
    input.end().await.unwrap();
    let (mut output, mut exit) = (Vec::new(), None);
    while let Some(event) = program.next().await {
        match event {
            Event::Output(bytes) => output.extend(bytes),
            Event::Exit(how) => exit = Some(how),
            _ => {}
        }
    }
    assert_eq!(String::from_utf8(output).unwrap(), "what false false false");
    assert_eq!(exit, Some(Exit::Status(3)));
    session.close().await;
    assert!(session.is_closed());
}

#[tokio::test]
async fn passwords_are_asked_for_so_often_and_no_more() {
    let rote = Rote::new(&["wrong", "right", "never asked"]);
    let methods = [MethodKind::Password];
    let session = connect("password", &methods, only(kex::CURVE25519), HostKeyPolicy::AcceptNew, rote.clone()).await;
    session.unwrap().authenticate(&Credentials::new("me")).await.unwrap();
    assert_eq!(rote.heard().matches("hidden").count(), 2);
    // The host is known by now.
    let rote = Rote::new(&["a", "b", "c", "d"]);
    let session = connect("password", &methods, Preferred::DEFAULT, HostKeyPolicy::Strict, rote.clone()).await;
    match session.unwrap().authenticate(&Credentials::new("me")).await {
        Err(Error::Authentication { tried, offered, .. }) => {
            assert_eq!((tried.len(), offered), (3, vec!["password".to_owned()]));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_to_ask_means_no_session_and_nothing_remembered() {
    for policy in [HostKeyPolicy::Ask, HostKeyPolicy::Strict] {
        let nobody = Arc::new(wharf::ssh::Nobody);
        match connect("nobody", &[MethodKind::Password], Preferred::DEFAULT, policy, nobody).await {
            Err(Error::HostKeyUnknown { host, .. }) => assert_eq!(host, "host"),
            other => panic!("{:?}", other.err()),
        }
    }
    assert!(!folder("nobody").join("known_hosts").exists());
    let rote = Rote::new(&["no"]);
    let declined = connect("nobody", &[MethodKind::Password], Preferred::DEFAULT, HostKeyPolicy::Ask, rote).await;
    assert!(matches!(declined.err(), Some(Error::HostKeyDeclined { .. })));
}

#[tokio::test]
async fn what_is_no_ssh_server_is_told_apart() {
    use tokio::io::AsyncWriteExt;
    for (said, expected) in [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "SSH"), (b"", "gone")] {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move {
            let _ = theirs.write_all(said).await;
        });
        let options =
            Options { patience: Duration::from_secs(20), host_keys: HostKeyPolicy::Strict, ..Options::default() };
        let error = Session::over(ours, "host", 22, &options, Arc::new(wharf::ssh::Nobody)).await.err().unwrap();
        assert!(error.to_string().contains(expected) || error.to_string().contains("gone"), "{error}");
    }
}
