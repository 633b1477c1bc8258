//! Lines of a cluster in steps of time.

/// Width of a step in nanoseconds (loki `pkg/pattern/drain/drain.go`, `SampleInterval`).
pub(super) const STEP_NS: i64 = 10_000_000_000;
/// Steps after which counts start anew, so that gaps longer than that are not filled (`MaxChunkAge`).
const RUN_STEPS: i64 = 3_600_000_000_000 / STEP_NS;

/// Counts by step, in order of time; steps without lines are not there.
#[derive(Debug, Default)]
pub(super) struct Counts(Vec<(u32, u32)>);

impl Counts {
    /// Counts one line. Times before 1970 or after 3300 are left out.
    pub(super) fn add(&mut self, time_ns: i64) {
        let Ok(step) = u32::try_from(time_ns.div_euclid(STEP_NS)) else {
            return;
        };
        match self.0.last_mut() {
            Some((last, count)) if *last == step => *count = count.saturating_add(1),
            Some((last, _)) if *last > step => match self.0.binary_search_by_key(&step, |(s, _)| *s) {
                Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(1),
                Err(at) => self.0.insert(at, (step, 1)),
            },
            _ => self.0.push((step, 1)),
        }
    }

    /// The newest step that has lines, as the time of its start.
    pub(super) fn newest_ns(&self) -> Option<i64> {
        self.0.last().map(|(step, _)| i64::from(*step) * STEP_NS)
    }

    /// Forgets steps that begin before a time.
    pub(super) fn prune(&mut self, oldest_ns: i64) {
        let keep = self
            .0
            .partition_point(|(step, _)| i64::from(*step) * STEP_NS < oldest_ns);
        self.0.drain(..keep);
        if self.0.capacity() > 2 * self.0.len() + 16 {
            self.0.shrink_to_fit();
        }
    }

    /// Heap bytes held.
    pub(super) fn size_bytes(&self) -> usize {
        self.0.capacity() * 8
    }

    /// Calls `found` with the start of each wider step and the lines of the steps in it that begin in `start..end`. Steps
    /// without lines inside a run are told with 0, unless steps are as narrow as the counted ones.
    pub(super) fn for_range(&self, start_ns: i64, end_ns: i64, step_ns: i64, mut found: impl FnMut(i64, u64)) {
        let mut run: Option<(i64, i64)> = None;
        for (step, count) in &self.0 {
            let time = i64::from(*step) * STEP_NS;
            if time < start_ns || time >= end_ns {
                continue;
            }
            let wide = time - time.rem_euclid(step_ns);
            run = match run {
                Some((first, last)) if time - first < RUN_STEPS * STEP_NS => {
                    if step_ns > STEP_NS {
                        (1..(wide - last) / step_ns).for_each(|n| found(last + n * step_ns, 0));
                    }
                    Some((first, wide))
                }
                _ => Some((time, wide)),
            };
            found(wide, u64::from(*count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn range(counts: &Counts, start: i64, end: i64, step: i64) -> Vec<(i64, u64)> {
        let mut out: Vec<(i64, u64)> = Vec::new();
        counts.for_range(start * S, end * S, step * S, |time, count| match out.last_mut() {
            Some((last, sum)) if *last == time / S => *sum += count,
            _ => out.push((time / S, count)),
        });
        out
    }

    #[test]
    fn lines_are_counted_in_steps_and_read_in_wider_ones() {
        let mut counts = Counts::default();
        for second in [100, 101, 109, 110, 135, 105, 200, 95, i64::MIN / S] {
            counts.add(second * S);
        }
        assert_eq!(
            range(&counts, 0, 1000, 10),
            [(90, 1), (100, 4), (110, 1), (130, 1), (200, 1)]
        );
        assert_eq!(range(&counts, 100, 200, 10), [(100, 4), (110, 1), (130, 1)]);
        assert_eq!(range(&counts, 0, 1000, 30), [(90, 6), (120, 1), (150, 0), (180, 1)]);
        assert_eq!(counts.newest_ns(), Some(200 * S));
        counts.prune(111 * S);
        assert_eq!(range(&counts, 0, 1000, 10), [(130, 1), (200, 1)]);
    }

    #[test]
    fn long_gaps_are_not_filled() {
        let mut counts = Counts::default();
        counts.add(0);
        counts.add(7_200 * S);
        assert_eq!(range(&counts, 0, 10_000, 60), [(0, 1), (7_200, 1)]);
    }
}
