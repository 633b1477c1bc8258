//! Scratch for one row: a value or nothing at each step, and scalars as columns of steps.

/// Values of one row while it is computed; reused from row to row.
#[derive(Clone, Debug)]
pub struct RowBuffer {
    values: Vec<f64>,
    present: Vec<bool>,
    used: bool,
}

impl RowBuffer {
    /// A row of `steps` absent values.
    pub fn new(steps: usize) -> Self {
        RowBuffer {
            values: vec![0.0; steps],
            present: vec![false; steps],
            used: false,
        }
    }

    /// Makes every value absent.
    pub fn clear(&mut self) {
        if self.used {
            self.present.fill(false);
            self.used = false;
        }
    }

    /// Sets the value of a step.
    #[inline]
    pub fn set(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        self.present[step] = true;
        self.used = true;
    }

    /// Whether any value is present.
    pub fn is_empty(&self) -> bool {
        !self.used
    }

    /// Whether a step has a value.
    pub fn is_present(&self, step: usize) -> bool {
        self.present[step]
    }

    /// Values by step; what stands at an absent one has no meaning.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Which steps have a value.
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
