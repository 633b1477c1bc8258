//! How tools tell how far they are.

/// Hears how far a tool is. Called from several tasks at one time.
pub trait Progress: Send + Sync {
    /// A stage of the work begins; `total` is how much of it there is, in bytes or steps, 0 where that is not known.
    fn stage(&self, what: &str, total: u64);

    /// So much more of the stage is done.
    fn advance(&self, done: u64);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn stage(&self, _what: &str, _total: u64) {}

    fn advance(&self, _done: u64) {}
}
