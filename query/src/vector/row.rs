//! Scratch for one row: a float, a histogram or nothing at each step, and scalars as columns of steps.

use std::sync::Arc;

use garner_storage::model::Histogram;

/// Values of one row while it is computed; reused from row to row.
#[derive(Clone, Debug)]
pub struct RowBuffer {
    values: Vec<f64>,
    present: Vec<bool>,
    used: bool,
    /// Whether floats may have been taken away again.
    sparse: bool,
    /// One a step; made with the first histogram.
    histograms: Vec<Option<Arc<Histogram>>>,
    has_histograms: bool,
}

impl RowBuffer {
    /// A row of `steps` absent values.
    pub fn new(steps: usize) -> Self {
        RowBuffer {
            values: vec![0.0; steps],
            present: vec![false; steps],
            used: false,
            sparse: false,
            histograms: Vec::new(),
            has_histograms: false,
        }
    }

    /// Makes every value absent.
    pub fn clear(&mut self) {
        if self.used {
            self.present.fill(false);
            self.used = false;
            self.sparse = false;
        }
        if self.has_histograms {
            self.histograms.fill(None);
            self.has_histograms = false;
        }
    }

    /// Sets the value of a step.
    #[inline]
    pub fn set(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        self.present[step] = true;
        self.used = true;
    }

    /// Makes the float of a step absent.
    pub fn unset(&mut self, step: usize) {
        self.present[step] = false;
        self.sparse = true;
    }

    /// Sets the histogram of a step, which has no float then.
    pub fn set_histogram(&mut self, step: usize, histogram: Arc<Histogram>) {
        if self.histograms.is_empty() {
            self.histograms.resize(self.values.len(), None);
        }
        self.unset(step);
        self.histograms[step] = Some(histogram);
        self.has_histograms = true;
    }

    /// Whether nothing is present.
    pub fn is_empty(&self) -> bool {
        !self.used && !self.has_histograms
    }

    /// Whether a step has a float or a histogram.
    pub fn is_present(&self, step: usize) -> bool {
        self.present[step] || (self.has_histograms && self.histograms[step].is_some())
    }

    /// Whether any step has a float.
    pub fn has_floats(&self) -> bool {
        self.used && (!self.sparse || self.present.contains(&true))
    }

    /// Whether any step has a histogram.
    pub fn has_histograms(&self) -> bool {
        self.has_histograms
    }

    /// Heap bytes of the histograms, shared ones counted once where they follow each other.
    pub fn histogram_bytes(&self) -> usize {
        let mut last: Option<&Arc<Histogram>> = None;
        let mut bytes = 0;
        for histogram in self.histograms().iter().flatten() {
            if !last.is_some_and(|l| Arc::ptr_eq(l, histogram)) {
                bytes += histogram.size_bytes();
            }
            last = Some(histogram);
        }
        bytes
    }

    /// Histograms by step; empty where there is none.
    pub fn histograms(&self) -> &[Option<Arc<Histogram>>] {
        if self.has_histograms { &self.histograms } else { &[] }
    }

    /// Values by step; what stands at an absent one has no meaning.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Which steps have a float.
    pub fn present(&self) -> &[bool] {
        &self.present
    }
}

/// A scalar of a query: one value for all steps, or one for each.
#[derive(Clone, Debug, PartialEq)]
pub enum ScalarColumn {
    /// The same at every step.
    Constant(f64),
    /// One value a step.
    Steps(Vec<f64>),
}

impl ScalarColumn {
    /// The value at a step.
    #[inline]
    pub fn at(&self, step: usize) -> f64 {
        match self {
            ScalarColumn::Constant(value) => *value,
            ScalarColumn::Steps(values) => values.get(step).copied().unwrap_or(f64::NAN),
        }
    }

    /// Applies `f` to every value.
    pub fn map(self, mut f: impl FnMut(f64) -> f64) -> ScalarColumn {
        match self {
            ScalarColumn::Constant(value) => ScalarColumn::Constant(f(value)),
            ScalarColumn::Steps(mut values) => {
                values.iter_mut().for_each(|v| *v = f(*v));
                ScalarColumn::Steps(values)
            }
        }
    }

    /// The values, the constant once.
    pub fn values(&self) -> &[f64] {
        match self {
            ScalarColumn::Constant(value) => std::slice::from_ref(value),
            ScalarColumn::Steps(values) => values,
        }
    }
}
