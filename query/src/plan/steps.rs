//! The time grid of a query: every node of a plan is evaluated at the same steps.

use garner_storage::model::Timestamp;
use serde::{Deserialize, Serialize};

/// Evaluation times `start_ns + i * step_ns` for `i < count`. An instant query is the case of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Steps {
    /// Time of the first step, nanoseconds.
    pub start_ns: Timestamp,
    /// Distance of steps, nanoseconds; 1 where there is one step.
    pub step_ns: i64,
    /// Number of steps, at least 1 in a query, 0 for an empty subquery.
    pub count: u32,
}

impl Steps {
    /// The single step of an instant query.
    pub fn instant(time_ns: Timestamp) -> Self {
        Steps {
            start_ns: time_ns,
            step_ns: 1,
            count: 1,
        }
    }

    /// All steps from `start_ns` to at most `end_ns`, both inclusive; no step where `end_ns < start_ns`. `step_ns` must
    /// be positive.
    pub fn range(start_ns: Timestamp, end_ns: Timestamp, step_ns: i64) -> Self {
        let step_ns = step_ns.max(1);
        let count = match end_ns.checked_sub(start_ns) {
            Some(width) if width >= 0 => u32::try_from(width / step_ns + 1).unwrap_or(u32::MAX),
            Some(_) => 0,
            None if end_ns > start_ns => u32::MAX,
            None => 0,
        };
        Steps {
            start_ns,
            step_ns,
            count,
        }
    }

    /// Time of step `index`, saturating.
    pub fn time(&self, index: usize) -> Timestamp {
        self.start_ns
            .saturating_add(self.step_ns.saturating_mul(i64::try_from(index).unwrap_or(i64::MAX)))
    }

    /// Time of the last step; the first where there is none.
    pub fn end_ns(&self) -> Timestamp {
        self.time(self.len().saturating_sub(1))
    }

    /// Number of steps as an index bound.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The grid of a subquery `[range:step]` under these steps: multiples of `step_ns` in the union of the windows
    /// `(time - offset - range, time - offset]` (prometheus promql/engine.go, `eval`, case `SubqueryExpr`).
    pub fn subquery(&self, range_ns: i64, step_ns: i64, offset_ns: i64) -> Steps {
        let step_ns = step_ns.max(1);
        let low = self.start_ns.saturating_sub(offset_ns).saturating_sub(range_ns);
        let high = self.end_ns().saturating_sub(offset_ns);
        // Go's division truncates towards zero, so before 1970 the first multiple can lie one step late; the step up
        // happens only where the multiple is not inside the left-open window.
        let mut start = step_ns.saturating_mul(low / step_ns);
        if start <= low {
            start = start.saturating_add(step_ns);
        }
        Steps::range(start, high, step_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_both_ends() {
        let check = |start, end, step, count| assert_eq!(Steps::range(start, end, step).count, count);
        check(0, 0, 10, 1);
        check(0, 9, 10, 1);
        check(0, 10, 10, 2);
        check(5, 4, 10, 0);
        check(i64::MIN, i64::MAX, 1, u32::MAX);
    }

    #[test]
    fn a_subquery_walks_multiples_of_its_step_inside_left_open_windows() {
        let check = |at, range, step, offset, expected: &[i64]| {
            let grid = Steps::instant(at).subquery(range, step, offset);
            let times: Vec<i64> = (0..grid.len()).map(|i| grid.time(i)).collect();
            assert_eq!(times, expected, "at {at} [{range}:{step}] offset {offset}");
        };
        check(100, 20, 10, 0, &[90, 100]);
        check(105, 20, 10, 0, &[90, 100]);
        check(100, 20, 10, 10, &[80, 90]);
        check(100, 5, 10, 0, &[100]);
        check(103, 2, 10, 0, &[]);
    }
}
