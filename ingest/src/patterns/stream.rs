//! The patterns of one stream, apart for each level.

use garner_storage::model::Labels;

use super::counts::Counts;
use super::drain::Drain;
use super::tokens::Format;

/// The levels that are told apart (loki `pkg/util/constants/levels.go`, `LogLevels`); every other one is `unknown`.
const LEVELS: [&str; 8] = [
    "unknown", "debug", "info", "warn", "error", "fatal", "critical", "trace",
];

/// One stream's patterns.
#[derive(Debug)]
pub(super) struct StreamPatterns {
    pub labels: Labels,
    format: Option<Format>,
    levels: Vec<(usize, Drain)>,
    /// What [`StreamPatterns::size_bytes`] was when it was last told to the store.
    pub accounted_bytes: usize,
}

impl StreamPatterns {
    pub(super) fn new(labels: Labels) -> Self {
        StreamPatterns {
            labels,
            format: None,
            levels: Vec::new(),
            accounted_bytes: 0,
        }
    }

    /// Counts a line; one of an unknown shape only where there is room for new ones.
    pub(super) fn add(&mut self, level: &str, line: &[u8], time_ns: i64, room: bool) {
        // Lines that are no text have no words.
        let Ok(line) = std::str::from_utf8(line) else { return };
        let format = *self.format.get_or_insert_with(|| Format::of(line));
        let level = LEVELS.iter().position(|l| level.eq_ignore_ascii_case(l)).unwrap_or(0);
        let at = match self.levels.iter().position(|(l, _)| *l == level) {
            Some(at) => at,
            None if !room => return,
            None => {
                self.levels.push((level, Drain::new(format)));
                self.levels.len() - 1
            }
        };
        self.levels[at].1.add(line, time_ns, room);
    }

    /// Forgets lines before a time.
    pub(super) fn prune(&mut self, oldest_ns: i64) {
        self.levels.iter_mut().for_each(|(_, drain)| drain.prune(oldest_ns));
        self.levels.retain(|(_, drain)| !drain.is_empty());
    }

    /// Whether it knows nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Calls `found` with each pattern, its level and its counts.
    pub(super) fn for_each(&self, mut found: impl FnMut(String, &'static str, &Counts)) {
        for (level, drain) in &self.levels {
            let level = LEVELS.get(*level).copied().unwrap_or("unknown");
            drain
                .patterns()
                .filter(|(text, _)| !text.is_empty())
                .for_each(|(text, counts)| found(text, level, counts));
        }
    }

    /// The newest step of each cluster.
    pub(super) fn newest_ns(&self) -> impl Iterator<Item = i64> {
        self.levels.iter().flat_map(|(_, drain)| drain.newest_ns())
    }

    /// Heap bytes held, about.
    pub(super) fn size_bytes(&self) -> usize {
        let levels: usize = self.levels.iter().map(|(_, drain)| drain.size_bytes()).sum();
        self.labels.as_bytes().len() + levels + 200
    }
}
