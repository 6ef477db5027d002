//! What a client has chosen for client-side caching: CLIENT TRACKING and CLIENT CACHING.
//!
//! - CLIENT CACHING is about the next command, or about the next transaction from MULTI to EXEC; commands named CLIENT come between.
//! - Requests that are taken again, since the node that they were sent to is not the primary any more, count as if CLIENT CACHING had asked
//!   for them: it may have.

/// The reads that a client may have cached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CachedReads {
    #[default]
    All,
    /// Those that follow CLIENT CACHING YES.
    OptIn,
    /// All but those that follow CLIENT CACHING NO.
    OptOut,
}

#[derive(Debug, Default)]
pub struct TrackingChoice {
    /// It is told of keys by their prefixes; what it reads does not matter.
    pub broadcasts: bool,
    pub reads: CachedReads,
    pub no_loop: bool,
    /// The number of the client that gets its messages.
    pub redirect: Option<u64>,
    /// CLIENT CACHING was given.
    pub caching: bool,
    /// Number of requests that are taken again.
    pub again: usize,
    /// Bytes of the keys of reads that were sent on and are not answered.
    pub begun_bytes: usize,
}

/// The same as CLIENT LIST shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownTracking {
    pub broadcasts: bool,
    pub redirect: u64,
}

impl TrackingChoice {
    /// Whether the keys are remembered that the next command reads.
    pub fn tracks_reads(&self) -> bool {
        let is_asked = match self.reads {
            CachedReads::All => true,
            CachedReads::OptIn => self.caching || self.again > 0,
            CachedReads::OptOut => !self.caching || self.again > 0,
        };
        is_asked && !self.broadcasts
    }

    /// A command was taken that CLIENT CACHING was about.
    pub fn spend_caching(&mut self) {
        self.caching = false;
        self.again = self.again.saturating_sub(1);
    }

    pub fn shown(&self) -> ShownTracking {
        ShownTracking { broadcasts: self.broadcasts, redirect: self.redirect.unwrap_or(0) }
    }
}
