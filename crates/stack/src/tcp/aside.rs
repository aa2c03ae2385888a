//! What a connection has only at times, in one allocation: made when the first part is needed, and let go when the
//! connection rests and none is left. An idle connection keeps a pointer for all of it.
//!
//! The parts belong to their mechanisms: `ledger`, `reassembly`, `path_search`, `buffers`, `receive`, `listener`, `urgent`,
//! `user_timeout`.

use alloc::boxed::Box;
use core::hint::cold_path;
use core::time::Duration;

use wire::tcp::SeqNum;

use crate::tcp::ListenerId;
use crate::tcp::buffers::Measurement;
use crate::tcp::connection::{Connection, Parked};
use crate::tcp::ledger::Ledger;
use crate::tcp::options::ApplicationRings;
use crate::tcp::path_search::PathSearch;
use crate::tcp::reassembly::Reassembly;
use crate::tcp::urgent::Urgent;
use crate::tcp::user_timeout::Exchange;
use crate::tcp::waiting::Waiting;

/// The parts.
#[derive(Default)]
pub(crate) struct Aside {
    /// What was counted, since the connection rested last or since its beginning.
    pub ledger: Ledger,
    /// Text beyond a gap.
    pub reassembly: Option<Box<Reassembly>>,
    /// The search for what the path carries; nothing while there is no doubt.
    pub path: Option<Box<PathSearch>>,
    /// How fast the application reads; nothing while the window need not grow.
    pub measurement: Option<Box<Measurement>>,
    /// Bytes that came twice, to be reported in the next acknowledgement (RFC 2883).
    pub duplicate: Option<(SeqNum, SeqNum)>,
    /// What only a connection has that nobody has accepted yet, or that is being opened.
    pub parked: Option<Box<Parked>>,
    /// How far urgent data reaches; nothing where there never was any.
    pub urgent: Option<Box<Urgent>>,
    /// What the two ends have told each other by the user timeout option.
    pub user_timeout: Exchange,
}

impl Aside {
    fn is_bare(&self) -> bool {
        self.parked.is_none() && self.has_parked_alone()
    }

    /// Whether there is nothing but what is parked, and what was counted.
    fn has_parked_alone(&self) -> bool {
        let Self { ledger: _, reassembly, path, measurement, duplicate, parked: _, urgent, user_timeout } = self;
        let seldom = path.is_some() || measurement.is_some() || duplicate.is_some() || urgent.is_some();
        reassembly.is_none() && !seldom && *user_timeout == Exchange::BLANK
    }
}

/// What was parked, on its way to the connection's owner.
pub(crate) enum Unparked {
    /// And nothing else stood beside the connection.
    Alone(Box<Aside>),
    OfMore(Box<Parked>),
}

impl Unparked {
    /// The application's rings. The memory around them is left for the next connection that comes in.
    #[inline(always)]
    pub(crate) fn take_rings(self, spare: &mut Option<Box<Aside>>) -> Option<ApplicationRings> {
        match self {
            Self::Alone(aside) => spare.insert(aside).parked.as_mut()?.rings.take(),
            Self::OfMore(mut parked) => parked.rings.take(),
        }
    }
}

/// The place for them.
#[derive(Default)]
pub(crate) struct Shelf(Option<Box<Aside>>);

impl Shelf {
    pub(crate) const EMPTY: Self = Self(None);

    pub(crate) fn park(&mut self, parked: Parked) {
        self.make().parked = Some(Box::new(parked));
    }

    /// What stands beside a connection that was made to be parked: in the memory that [`Unparked`] left, if there
    /// is any.
    #[inline(always)]
    pub(crate) fn of_parked(spare: &mut Option<Box<Aside>>, rings: ApplicationRings, origin: ListenerId) -> Self {
        let mut aside = match spare.take() {
            Some(aside) => aside,
            None => Self::room_to_park(),
        };
        if let Some(parked) = &mut aside.parked {
            // One by one, since they are large, and go straight from where they are to where they will stand.
            parked.rings.get_or_insert(rings);
            parked.origin = Some(origin);
            parked.offer = None;
        }
        Self(Some(aside))
    }

    #[cold]
    #[inline(never)]
    fn room_to_park() -> Box<Aside> {
        let parked = Parked { rings: None, origin: None, offer: None };
        Box::new(Aside { parked: Some(Box::new(parked)), ..Aside::default() })
    }

    /// Takes what was parked, if there are rings among it: of nearly all connections that come in, all that stands beside them.
    #[inline(always)]
    pub(crate) fn unpark(&mut self) -> Option<Unparked> {
        let aside = self.0.as_mut()?;
        aside.parked.as_ref()?.rings.as_ref()?;
        if aside.has_parked_alone() && aside.ledger.is_blank() {
            self.0.take().map(Unparked::Alone)
        } else {
            cold_path();
            aside.parked.take().map(Unparked::OfMore)
        }
    }

    /// All parts, made if there are none.
    #[inline]
    pub(crate) fn make(&mut self) -> &mut Aside {
        self.0.get_or_insert_default()
    }

    /// Whether there is any of it.
    #[inline]
    pub(crate) const fn is_in_use(&self) -> bool {
        self.0.is_some()
    }

    /// Whether nothing stands here that a message in order would have to do with: no gap, no doubt about the path, and
    /// nothing to report.
    #[inline(always)]
    pub(crate) fn is_undisturbed(&self) -> bool {
        match &self.0 {
            Some(aside) => aside.reassembly.is_none() && aside.path.is_none() && aside.duplicate.is_none(),
            None => true,
        }
    }

    /// Whether there is nothing of it but what is parked, which keeps the rest, and nothing that is measured.
    #[inline]
    pub(crate) fn has_parked_at_most(&self) -> bool {
        self.0.as_ref().is_none_or(|aside| aside.parked.is_some() && aside.measurement.is_none())
    }

    #[inline]
    pub(crate) fn ledger(&self) -> Option<&Ledger> {
        Some(&self.0.as_ref()?.ledger)
    }

    #[inline]
    pub(crate) fn reassembly(&self) -> Option<&Reassembly> {
        self.0.as_ref()?.reassembly.as_deref()
    }

    #[inline]
    pub(crate) fn reassembly_mut(&mut self) -> Option<&mut Reassembly> {
        self.0.as_mut()?.reassembly.as_deref_mut()
    }

    pub(crate) fn end_reassembly(&mut self) {
        if let Some(aside) = &mut self.0 {
            aside.reassembly = None;
        }
    }

    #[inline]
    pub(crate) fn path(&self) -> Option<&PathSearch> {
        self.0.as_ref()?.path.as_deref()
    }

    #[inline]
    pub(crate) fn path_mut(&mut self) -> Option<&mut PathSearch> {
        self.0.as_mut()?.path.as_deref_mut()
    }

    pub(crate) fn end_path_search(&mut self) {
        if let Some(aside) = &mut self.0 {
            aside.path = None;
        }
    }

    #[inline]
    pub(crate) fn measurement(&self) -> Option<&Measurement> {
        self.0.as_ref()?.measurement.as_deref()
    }

    #[inline]
    pub(crate) fn measurement_mut(&mut self) -> Option<&mut Measurement> {
        self.0.as_mut()?.measurement.as_deref_mut()
    }

    pub(crate) fn end_measurement(&mut self) {
        if let Some(aside) = &mut self.0 {
            aside.measurement = None;
        }
    }

    #[inline]
    pub(crate) fn duplicate(&self) -> Option<(SeqNum, SeqNum)> {
        self.0.as_ref()?.duplicate
    }

    #[inline]
    pub(crate) fn forget_duplicate(&mut self) {
        if let Some(aside) = &mut self.0 {
            aside.duplicate = None;
        }
    }

    #[inline]
    pub(crate) fn urgent(&self) -> Option<&Urgent> {
        self.0.as_ref()?.urgent.as_deref()
    }

    pub(crate) fn user_timeout(&self) -> Exchange {
        self.0.as_ref().map_or(Exchange::BLANK, |aside| aside.user_timeout)
    }

    pub(crate) fn parked(&self) -> Option<&Parked> {
        self.0.as_ref()?.parked.as_deref()
    }

    /// Takes what was parked. Most connections have nothing else beside them then.
    pub(crate) fn take_parked(&mut self) -> Option<Box<Parked>> {
        let aside = self.0.as_mut()?;
        let parked = aside.parked.take();
        if aside.is_bare() && aside.ledger.is_blank() {
            self.0 = None;
        }
        parked
    }
}

impl Connection {
    /// Nothing moves any more: what stands aside goes, if all that it has counted fits the word that stays.
    pub(crate) fn fold_aside(&mut self) {
        if let Some(micros) = self.folded() {
            self.rested = micros;
            self.aside.0 = None;
        }
    }

    /// Whether [`fold_aside`](Self::fold_aside) would let something go.
    pub(crate) fn has_spare_aside(&self) -> bool {
        self.folded().is_some()
    }

    fn folded(&self) -> Option<u32> {
        let aside = self.aside.0.as_ref().filter(|aside| aside.is_bare())?;
        u32::try_from((aside.ledger.busy_alone()? + self.busy_before()).as_micros()).ok()
    }

    /// For how long everything that was written was on its way, before the connection rested last.
    pub(crate) fn busy_before(&self) -> Duration {
        Duration::from_micros(u64::from(self.rested))
    }

    /// How long the sender has waited for this, up to the last change.
    pub(crate) fn waited(&self, reason: Waiting) -> Duration {
        let lately = self.aside.ledger().map_or(Duration::ZERO, |ledger| ledger.waited(reason));
        if reason == Waiting::Application { lately + self.busy_in_turns() + self.busy_before() } else { lately }
    }
}
