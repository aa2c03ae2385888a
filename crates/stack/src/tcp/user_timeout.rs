//! The user timeout option (RFC 5482): each end tells the other for how long it lets data stay unacknowledged, and takes the
//! other's word as advice.
//!
//! USER_TIMEOUT is [`SocketOptions::user_timeout`], whoever set it: what the peer said is put there, in a copy of the settings
//! that only this connection has, and everything that obeys the application's value obeys it. Of the option itself a connection
//! keeps four bytes aside, as long as there is something to keep.
//!
//! `commands`, `half_open` and `output` say when it is to be sent, `handshake` and `input` bring what came. A segment with the
//! option goes no short way, in or out: [`Flags::SAYS_MORE`] stands as long as it is owed.

use alloc::sync::Arc;
use core::time::Duration;

use wire::tcp::{SeqNum, USER_TIMEOUT_LEN, UserTimeout};

use crate::config::TcpConfig;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::options::{SocketOption, SocketOptions};
use crate::tcp::output::{Kind, Plan};
use crate::time::Instant;

/// What is advertised where nobody says otherwise: RFC 9293 section 3.9.1.1's default, within which this side gives up no
/// connection.
const DEFAULT: Duration = Duration::from_secs(300);

/// How a connection uses the user timeout option (RFC 5482 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserTimeoutOption {
    advertised: Option<UserTimeout>,
    changeable: bool,
}

impl Default for UserTimeoutOption {
    fn default() -> Self {
        Self { advertised: None, changeable: true }
    }
}

impl UserTimeoutOption {
    /// ADV_UTO: what the peer is told, in whole seconds, begun ones too, and from nine hours on in minutes. Without it that is
    /// [`SocketOptions::user_timeout`], or five minutes where the application has set none.
    #[must_use]
    pub fn advertising(self, time: Duration) -> Self {
        Self { advertised: Some(UserTimeout::of(time)), ..self }
    }

    /// CHANGEABLE: whether what the peer says may become this side's user timeout, within the engine's limits. It never does
    /// where the application has set one itself. Default true.
    #[must_use]
    pub fn changeable(self, changeable: bool) -> Self {
        Self { changeable, ..self }
    }
}

/// What a connection keeps of the option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// REMOTE_UTO: what the peer said last.
    pub remote: Option<UserTimeout>,
    /// Ours goes with the next segment that has room for it.
    pub due: bool,
    /// The connection's user timeout is what followed from the peer's.
    pub adopted: bool,
}

impl Exchange {
    /// Nothing to keep.
    pub(crate) const BLANK: Self = Self { remote: None, due: false, adopted: false };
}

impl SocketOptions {
    /// ADV_UTO, where the option is enabled; `own`: the user timeout is the application's.
    pub(crate) fn advertised_user_timeout(&self, own: bool) -> Option<UserTimeout> {
        let option = self.user_timeout_option?;
        Some(option.advertised.unwrap_or_else(|| UserTimeout::of(self.user_timeout.filter(|_| own).unwrap_or(DEFAULT))))
    }
}

impl Connection {
    /// ADV_UTO, where the option is enabled.
    pub(crate) fn advertised_user_timeout(&self) -> Option<UserTimeout> {
        self.options.advertised_user_timeout(!self.aside.user_timeout().adopted)
    }

    /// What the SYN or SYN-ACK tells, unless an earlier one came to nothing: something on the way may not like the option
    /// (RFC 5482 section 4.1), and the first segment after it tells the same. Nor beside a Fast Open cookie, which needs the room.
    pub(crate) fn user_timeout_of_syn(&self) -> Option<UserTimeout> {
        const WITHOUT: Flags = Flags::SYN_RESENT.and(Flags::FAST_OPEN);
        if self.flags.has(WITHOUT) { None } else { self.advertised_user_timeout() }
    }

    /// RFC 5482 section 3: the next segment without SYN tells the peer, at the beginning and whenever this side's value changes.
    /// Once, as section 3.2 allows: a peer, or something on the way, that drops what it does not know gets the text again
    /// without it.
    pub(crate) fn owe_user_timeout(&mut self) {
        if self.options.user_timeout_option.is_some() {
            self.aside.make().user_timeout.due = true;
            self.flags.set(Flags::SAYS_MORE);
        }
    }

    /// Whether it has not been sent yet.
    pub(crate) fn owes_user_timeout(&self) -> bool {
        self.flags.has(Flags::SAYS_MORE) && self.aside.user_timeout().due
    }

    /// What a segment other than a SYN tells, and `plan`, cut where it is new text that leaves no room for it: a train's segments
    /// all carry what its first does, and none may be larger than the path takes.
    #[cold]
    pub(super) fn tell_user_timeout(&self, plan: Plan) -> (Plan, Option<UserTimeout>) {
        let most = self.segment_size().saturating_sub(USER_TIMEOUT_LEN as u32);
        if plan.kind == Kind::Syn || !self.owes_user_timeout() || most == 0 {
            return (plan, None);
        }
        let told = self.advertised_user_timeout();
        match plan.kind {
            _ if plan.len <= most => (plan, told),
            Kind::Text => (Plan { len: most, fin: false, ..plan }, told),
            _ => (plan, None),
        }
    }

    /// It has gone out, in a segment that is full with less text: RFC 9293 section 3.7.1, Eff.snd.MSS is what the options leave,
    /// and section 3.7.4's rule against small segments goes by that.
    #[cold]
    pub(super) fn on_sent_with_user_timeout(&mut self, now: Instant, plan: Plan, edge: SeqNum, config: &TcpConfig) {
        self.aside.make().user_timeout.due = false;
        self.snd.full -= USER_TIMEOUT_LEN as u16;
        self.on_sent(now, plan, edge, config);
        self.snd.full += USER_TIMEOUT_LEN as u16;
    }

    /// A segment of the peer's that is acceptable, or its SYN, brought this.
    pub(crate) fn hear_user_timeout(&mut self, value: Option<UserTimeout>) {
        // RFC 5482 section 3: ENABLED applies to both sending and receiving.
        if let Some(value) = value
            && self.options.user_timeout_option.is_some()
        {
            self.aside.make().user_timeout.remote = Some(value);
        }
    }

    /// RFC 5482 section 3.1: the local user timeout, from what both ends have said. Only for synchronized states (section 3.3).
    pub(crate) fn adopt_user_timeout(&mut self, config: &TcpConfig) {
        let Some(option) = self.options.user_timeout_option else { return };
        let Exchange { remote, adopted, .. } = self.aside.user_timeout();
        let Some(remote) = remote else { return };
        if !option.changeable || (self.options.user_timeout.is_some() && !adopted) {
            // RFC 5482 section 3.1: if CHANGEABLE is false, USER_TIMEOUT MUST NOT be changed. `TcpInfo` tells what was heard.
            return;
        }
        let local = self.advertised_user_timeout().map_or(DEFAULT, UserTimeout::duration);
        // L_LIMIT MUST be larger than the retransmission timeout: one retransmission at least has its chance.
        let least = config.user_timeout_min.max(self.rtt.rto(config.rto_min, config.rto_max).saturating_mul(2));
        let wanted = local.max(remote.duration()).max(least).min(config.user_timeout_max);
        self.aside.make().user_timeout.adopted = true;
        if self.options.user_timeout != Some(wanted) {
            // A copy of its own at the first time, the same one at all later ones.
            Arc::make_mut(&mut self.options).user_timeout = Some(wanted);
            self.time_keep_alive();
        }
    }

    /// The application has made `change`, which concerns the user timeout.
    pub(crate) fn on_user_timeout_set(&mut self, change: SocketOption, config: &TcpConfig) {
        let adopted = self.aside.user_timeout().adopted;
        if self.aside.user_timeout() != Exchange::BLANK {
            let exchange = &mut self.aside.make().user_timeout;
            match change {
                // RFC 5482 section 3: CHANGEABLE becomes false when an application explicitly sets USER_TIMEOUT.
                SocketOption::UserTimeout(_) => exchange.adopted = false,
                SocketOption::UserTimeoutOption(None) => {
                    *exchange = Exchange::BLANK;
                    if adopted {
                        Arc::make_mut(&mut self.options).user_timeout = None;
                    }
                }
                _ => {}
            }
        }
        self.owe_user_timeout();
        if self.phase.is_synchronized() {
            self.adopt_user_timeout(config);
            if adopted {
                // What had put it off may be gone.
                self.time_keep_alive();
            }
        }
    }

    /// RFC 5482 section 4.2: the keep-alive timer MUST be larger than the user timeout that was adopted, lest it end what that
    /// would have let live.
    pub(crate) fn keep_alive_idle(&self, idle: Duration) -> Duration {
        match self.options.user_timeout {
            Some(adopted) if self.aside.user_timeout().adopted => {
                idle.max(adopted.saturating_add(Duration::from_secs(1)))
            }
            _ => idle,
        }
    }
}
