//! From the options of a session to a connector.

use std::time::Duration;

use wharf::tls::{Connector, ConnectorBuilder, Identity, KeyLog, Trust, Versions};

use crate::args::Session;
use crate::exit::Failure;
use crate::output;

/// How long each step may take unless --timeout says otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

impl Session {
    /// Whom to believe.
    pub(crate) fn trust(&self) -> Trust {
        match &self.ca {
            Some(path) => Trust::File(path.clone()),
            None if self.insecure => Trust::DangerouslyAnything,
            None if self.system_roots => Trust::System,
            None => Trust::Mozilla,
        }
    }

    /// The versions to speak.
    pub(crate) fn versions(&self) -> Versions {
        match (self.tls12, self.tls13) {
            (true, _) => Versions::Tls12,
            (false, true) => Versions::Tls13,
            (false, false) => Versions::Both,
        }
    }

    /// The beginning of a connector that does what the options say, with a warning where that is dangerous.
    pub(crate) fn connector(&self) -> Result<ConnectorBuilder, Failure> {
        let mut builder = Connector::builder(self.trust()).versions(self.versions());
        if self.insecure {
            output::note("warning: certificates are not checked; whoever is on the way can read and change everything");
        }
        if let (Some(certificate), Some(key)) = (&self.cert, &self.key) {
            builder = builder.identity(Identity::from_pem_files(certificate, key)?);
        }
        let from_environment = || std::env::var_os("SSLKEYLOGFILE").filter(|path| !path.is_empty()).map(Into::into);
        if let Some(path) = self.key_log.clone().or_else(from_environment) {
            output::note(format!("warning: whoever reads {} can read this session", path.display()));
            builder = builder.key_log(KeyLog::append_to(&path)?);
        }
        Ok(builder)
    }
}
