//! Who the user is (RFC 4252): keys first, then the server's questions (RFC 4256), then the password.
//!
//! Called by `session`. What the server names as its ways in decides what is tried.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Interactive};
use russh::keys::HashAlg;
use russh::{MethodKind, MethodSet};

use super::handler::Handler;
use super::identity::{self, Agent, FileSigner, Identity, Source};
use super::{Error, Questions, printable};

/// Rounds of questions until a server that only asks is given up.
const MOST_ROUNDS: usize = 32;
/// Questions in one round.
const MOST_PROMPTS: usize = 64;

/// What the user proves himself with.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// His name on the server.
    pub user: String,
    /// Key files, in the order of trial. One that does not exist is passed over.
    pub identity_files: Vec<PathBuf>,
    /// Certificates of users, for those of the keys that they vouch for. The one that stands beside a key file, as
    /// `FILE-cert.pub`, is found without being named.
    pub certificate_files: Vec<PathBuf>,
    /// The agent's socket.
    pub agent: Option<PathBuf>,
    /// Of the agent's keys only those that stand in `identity_files` too.
    pub identities_only: bool,
    /// Keys may be tried.
    pub public_key: bool,
    /// The server may ask.
    pub keyboard_interactive: bool,
    /// A password may be tried.
    pub password: bool,
    /// How often a wrong password is asked for anew.
    pub password_prompts: u32,
}

impl Credentials {
    /// Every way in, for `user`, with no key yet.
    #[must_use]
    pub fn new(user: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            identity_files: Vec::new(),
            certificate_files: Vec::new(),
            agent: None,
            identities_only: false,
            public_key: true,
            keyboard_interactive: true,
            password: true,
            password_prompts: 3,
        }
    }
}

/// One authentication under way.
pub(super) struct Attempt<'a> {
    pub(super) handle: &'a mut Handle<Handler>,
    pub(super) credentials: &'a Credentials,
    pub(super) questions: &'a Arc<dyn Questions>,
    pub(super) host: &'a str,
    pub(super) port: u16,
    /// How long each answer of the server may take.
    pub(super) patience: Duration,
    pub(super) legacy: bool,
    pub(super) tried: Vec<String>,
}

/// An answer of the server, for as long as it may take. Where a person or the agent has a part in it, there is no limit.
async fn within<T>(
    patience: Duration,
    host: &str,
    port: u16,
    asking: impl Future<Output = Result<T, russh::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(patience, asking).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Error::TimedOut { host: host.to_owned(), port, seconds: patience.as_secs() }),
    }
}

enum Step {
    In,
    /// Not yet; these ways are left.
    Out(MethodSet),
}

impl From<AuthResult> for Step {
    fn from(result: AuthResult) -> Self {
        match result {
            AuthResult::Success => Self::In,
            AuthResult::Failure { remaining_methods, .. } => Self::Out(remaining_methods),
        }
    }
}

impl Attempt<'_> {
    /// Tries what there is until the server lets the user in.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        // RFC 4252 section 5.2: asking for nothing tells what the server takes.
        let mut step: Step = {
            let asking = self.handle.authenticate_none(&self.credentials.user);
            within(self.patience, self.host, self.port, asking).await?.into()
        };
        let mut identities = None;
        let mut passwords = self.credentials.password_prompts;
        let mut rounds = self.credentials.password_prompts;
        loop {
            let offered = match step {
                Step::In => return Ok(()),
                Step::Out(offered) => offered,
            };
            if self.handle.is_closed() {
                return Err(Error::Closed("the server closed it during authentication".to_owned()));
            }
            if self.credentials.public_key && offered.contains(&MethodKind::PublicKey) {
                if identities.is_none() {
                    identities = Some(self.identities().await?);
                }
                if let Some((agent, waiting)) = &mut identities
                    && !waiting.is_empty()
                {
                    let identity = waiting.remove(0);
                    step = match self.offer(identity, agent.as_mut()).await? {
                        Some(step) => step,
                        None => Step::Out(offered),
                    };
                    continue;
                }
            }
            if self.credentials.keyboard_interactive && rounds > 0 && offered.contains(&MethodKind::KeyboardInteractive)
            {
                rounds -= 1;
                step = match self.interactive().await? {
                    Some(step) => step,
                    None => {
                        rounds = 0;
                        Step::Out(offered)
                    }
                };
                continue;
            }
            if self.credentials.password && passwords > 0 && offered.contains(&MethodKind::Password) {
                passwords -= 1;
                let prompt = format!("Password of {}@{}: ", self.credentials.user, self.host);
                let Some(password) = self.ask(prompt, false).await else {
                    passwords = 0;
                    step = Step::Out(offered);
                    continue;
                };
                self.tried.push("password".to_owned());
                let asking = self.handle.authenticate_password(&self.credentials.user, password);
                step = within(self.patience, self.host, self.port, asking).await?.into();
                continue;
            }
            return Err(Error::Authentication {
                user: self.credentials.user.clone(),
                offered: offered.iter().map(String::from).collect(),
                tried: self.tried,
            });
        }
    }

    /// The agent's keys, then the files' that the agent has not got.
    async fn identities(&mut self) -> Result<(Option<Agent>, Vec<Identity>), Error> {
        let mut files = Vec::new();
        for file in &self.credentials.identity_files {
            match identity::read_file(file) {
                Ok(found) => files.extend(found),
                // One bad file does not shut the other ways.
                Err(error) => self.questions.tell(&error.to_string()),
            }
        }
        let mut all: Vec<Identity> = Vec::new();
        let mut agent = None;
        if let Some(socket) = &self.credentials.agent {
            match identity::agent(socket).await {
                Ok((connected, keys)) => {
                    agent = Some(connected);
                    let listed =
                        |key: &Identity| files.iter().any(|file| file.public.key_data() == key.public.key_data());
                    let mut keys: Vec<_> =
                        keys.into_iter().filter(|key| !self.credentials.identities_only || listed(key)).collect();
                    // The server counts what it refuses: what was named comes first.
                    keys.sort_by_key(|key| !listed(key));
                    all.extend(keys);
                }
                Err(error) => self.questions.tell(&error.to_string()),
            }
        }
        for file in files {
            let same = |one: &Identity| one.certificate.is_none() && one.public.key_data() == file.public.key_data();
            if !all.iter().any(same) {
                all.push(file);
            }
        }
        Ok((agent, self.certified(all)))
    }

    /// The keys, in front of each its certificates from files.
    fn certified(&self, keys: Vec<Identity>) -> Vec<Identity> {
        let beside = self.credentials.identity_files.iter().map(|file| identity::certificate_beside(file));
        let mut certificates = Vec::new();
        for file in self.credentials.certificate_files.iter().cloned().chain(beside) {
            match identity::read_certificate(&file) {
                Ok(found) => certificates.extend(found.map(Arc::new)),
                Err(error) => self.questions.tell(&error.to_string()),
            }
        }
        let mut all: Vec<Identity> = Vec::new();
        for key in keys {
            let of_the_key = |one: &&Arc<_>| {
                let one: &russh::keys::Certificate = one;
                one.public_key() == key.public.key_data()
            };
            for certificate in certificates.iter().filter(of_the_key).filter(|_| key.certificate.is_none()) {
                if !all.iter().any(|one| one.certificate.as_ref() == Some(certificate)) {
                    all.push(Identity { certificate: Some(Arc::clone(certificate)), ..key.clone() });
                }
            }
            all.push(key);
        }
        all
    }

    /// Offers one key; `None` if it cannot be used.
    async fn offer(&mut self, identity: Identity, agent: Option<&mut Agent>) -> Result<Option<Step>, Error> {
        let Identity { public, certificate, source } = identity;
        let hash = if identity::is_rsa(&public) {
            match self.rsa_hash().await? {
                Some(hash) => hash,
                None => return Ok(None),
            }
        } else {
            None
        };
        let what = if certificate.is_some() { " with a certificate" } else { "" };
        self.tried.push(format!("{} {}{what}", public.algorithm(), super::known_hosts::fingerprint(&public)));
        let user = &self.credentials.user;
        let handle = &mut *self.handle;
        let outcome = match (source, agent) {
            (Source::Agent, Some(agent)) => match certificate {
                None => handle.authenticate_publickey_with(user, public, hash, agent).await,
                Some(certificate) => {
                    handle.authenticate_certificate_with(user, Arc::unwrap_or_clone(certificate), hash, agent).await
                }
            }
            .map_err(|error| Error::Identity(format!("the agent does not sign: {error}"))),
            (Source::Agent, None) => return Ok(None),
            (source, _) => {
                let mut signer = FileSigner { source, questions: Arc::clone(self.questions) };
                match certificate {
                    None => handle.authenticate_publickey_with(user, public, hash, &mut signer).await,
                    Some(certificate) => {
                        let certificate = Arc::unwrap_or_clone(certificate);
                        handle.authenticate_certificate_with(user, certificate, hash, &mut signer).await
                    }
                }
            }
        };
        match outcome {
            Ok(result) => Ok(Some(result.into())),
            Err(Error::Identity(reason)) => {
                self.questions.tell(&reason);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The hash an RSA key signs with: SHA-1 only in legacy mode (RFC 8332).
    async fn rsa_hash(&self) -> Result<Option<Option<HashAlg>>, Error> {
        Ok(match self.handle.best_supported_rsa_hash().await? {
            Some(Some(hash)) => Some(Some(hash)),
            Some(None) if self.legacy => Some(None),
            Some(None) => {
                self.questions.tell("The server takes RSA keys with SHA-1 only, which --legacy would allow.");
                None
            }
            // It did not say; whoever knows no extensions is old, or takes SHA-2 anyway.
            None => Some(Some(HashAlg::Sha256)),
        })
    }

    /// One exchange of the server's questions; `None` if nobody can answer them.
    async fn interactive(&mut self) -> Result<Option<Step>, Error> {
        self.tried.push("keyboard-interactive".to_owned());
        let user = self.credentials.user.clone();
        let asking = self.handle.authenticate_keyboard_interactive_start(user, None);
        let mut reply = within(self.patience, self.host, self.port, asking).await?;
        for _ in 0..MOST_ROUNDS {
            let prompts = match reply {
                Interactive::Success => return Ok(Some(Step::In)),
                Interactive::Failure { remaining_methods, .. } => return Ok(Some(Step::Out(remaining_methods))),
                Interactive::InfoRequest { name, instructions, prompts } => {
                    for text in [name, instructions] {
                        if !text.trim().is_empty() {
                            self.questions.tell(printable(&text).trim_end());
                        }
                    }
                    prompts
                }
            };
            if prompts.len() > MOST_PROMPTS {
                return Err(Error::Protocol(format!("the server asks {} questions at once", prompts.len())));
            }
            let mut answers = Vec::with_capacity(prompts.len());
            let mut unanswered = false;
            for prompt in prompts {
                // RFC 4256 section 3.1: the text is shown as it is, but for control characters.
                let text = format!("({}@{}) {}", self.credentials.user, self.host, printable(&prompt.prompt));
                match self.ask(text, prompt.echo).await {
                    Some(answer) => answers.push(answer),
                    None => {
                        unanswered = true;
                        answers.push(String::new());
                    }
                }
            }
            // RFC 4256 section 3.4: there are as many answers as questions, whatever happened here.
            let asking = self.handle.authenticate_keyboard_interactive_respond(answers);
            reply = within(self.patience, self.host, self.port, asking).await?;
            if unanswered {
                return Ok(match reply {
                    Interactive::Success => Some(Step::In),
                    _ => None,
                });
            }
        }
        Err(Error::Protocol("the server asks and asks".to_owned()))
    }

    async fn ask(&self, prompt: String, echo: bool) -> Option<String> {
        let questions = Arc::clone(self.questions);
        tokio::task::spawn_blocking(move || questions.secret(&prompt, echo)).await.ok().flatten()
    }
}
