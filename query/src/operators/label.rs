//! Changes of labels: `label_replace` and `label_join`.

use std::fmt;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use garner_storage::model::{Labels, METRIC_NAME};
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::exec::{Operator, Plan, partitions};
use super::rows::{RowMapper, map_rows};
use super::wire::Parts;
use crate::context::QueryContext;
use crate::error::QueryError;
use crate::vector::labels::{self, NameRemoval};
use crate::vector::{VectorBuilder, VectorRow};

/// What is done to the labels of each row.
#[derive(Clone, Debug)]
pub enum LabelChange {
    /// `label_replace`: where `pattern` matches the whole value of `source`, `target` becomes `replacement`.
    Replace {
        /// Label that is set.
        target: Arc<str>,
        /// New value with `$1`, `${name}`.
        replacement: Arc<str>,
        /// Label that is read.
        source: Arc<str>,
        /// Pattern as written.
        pattern: Arc<str>,
        /// The pattern compiled, anchored.
        regex: Regex,
    },
    /// `label_join`: `target` becomes the values of `sources` with `separator` between them.
    Join {
        /// Label that is set.
        target: Arc<str>,
        /// Between the values.
        separator: Arc<str>,
        /// Labels that are read.
        sources: Vec<Arc<str>>,
    },
}

impl LabelChange {
    /// A replacement; refuses a pattern that does not compile.
    pub fn replace(
        target: Arc<str>,
        replacement: Arc<str>,
        source: Arc<str>,
        pattern: Arc<str>,
    ) -> Result<Self, QueryError> {
        let refused = || QueryError::execution(format!("invalid regular expression in label_replace(): {pattern}"));
        // Alone first, so that a pattern such as `a)(b` cannot escape the anchoring group.
        regex_syntax::parse(&pattern).map_err(|_| refused())?;
        let regex = Regex::new(&format!("^(?s:{pattern})$")).map_err(|_| refused())?;
        Ok(LabelChange::Replace {
            target,
            replacement,
            source,
            pattern,
            regex,
        })
    }

    /// The label that is set.
    fn target(&self) -> &str {
        match self {
            LabelChange::Replace { target, .. } | LabelChange::Join { target, .. } => target,
        }
    }

    fn apply(&self, set: &[u8], text: &mut String) -> Option<Labels> {
        text.clear();
        let target = match self {
            LabelChange::Replace {
                target,
                replacement,
                source,
                regex,
                ..
            } => {
                let value = labels::text(labels::value_of(set, source.as_bytes()));
                regex.captures(value)?.expand(replacement, text);
                target
            }
            LabelChange::Join {
                target,
                separator,
                sources,
            } => {
                for (i, source) in sources.iter().enumerate() {
                    if i > 0 {
                        text.push_str(separator);
                    }
                    text.push_str(labels::text(labels::value_of(set, source.as_bytes())));
                }
                target
            }
        };
        let mut builder = labels::to_labels(set).to_builder();
        builder.set(target, text);
        Some(builder.build())
    }
}

/// The operator's parameters. Different rows can come out with equal labels: put `Unique` above.
#[derive(Clone, Debug)]
pub struct LabelChanger {
    /// The vector.
    pub input: Plan,
    /// What is done.
    pub change: LabelChange,
}

/// A [`LabelChange`] on the wire, its fields in their order; the pattern is compiled on arrival.
#[derive(Debug, Serialize, Deserialize)]
pub enum WireChange {
    /// [`LabelChange::Replace`].
    Replace([Arc<str>; 4]),
    /// [`LabelChange::Join`].
    Join(Arc<str>, Arc<str>, Vec<Arc<str>>),
}

impl Operator for LabelChanger {
    const NAME: &'static str = "LabelExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.change {
            LabelChange::Replace {
                target,
                replacement,
                source,
                pattern,
                ..
            } => write!(f, "{target}={replacement:?} where {source}=~{pattern:?}"),
            LabelChange::Join { target, sources, .. } => write!(f, "{target}=join{sources:?}"),
        }
    }

    fn inputs(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn with_inputs(&self, mut inputs: Vec<Plan>) -> Result<Self> {
        Ok(LabelChanger {
            input: inputs.swap_remove(0),
            change: self.change.clone(),
        })
    }

    fn partitions(&self) -> usize {
        partitions(&self.input)
    }

    type Wire = WireChange;

    fn to_wire(&self) -> Self::Wire {
        match &self.change {
            LabelChange::Replace {
                target,
                replacement,
                source,
                pattern,
                ..
            } => WireChange::Replace([target, replacement, source, pattern].map(Arc::clone)),
            LabelChange::Join {
                target,
                separator,
                sources,
            } => WireChange::Join(Arc::clone(target), Arc::clone(separator), sources.clone()),
        }
    }

    fn from_wire(wire: Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        let change = match wire {
            WireChange::Replace([target, replacement, source, pattern]) => {
                LabelChange::replace(target, replacement, source, pattern)?
            }
            WireChange::Join(target, separator, sources) => LabelChange::Join {
                target,
                separator,
                sources,
            },
        };
        let input = parts.input()?;
        Ok(LabelChanger { input, change })
    }

    fn run(
        &self,
        partition: usize,
        query: Arc<QueryContext>,
        task: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let change = self.change.clone();
        map_rows(&self.input, partition, query, task, move |_, _| {
            Box::pin(async move {
                Ok(Mapper {
                    change,
                    text: String::new(),
                })
            })
        })
    }
}

struct Mapper {
    change: LabelChange,
    text: String,
}

impl RowMapper for Mapper {
    fn map(&mut self, row: VectorRow<'_>, out: &mut VectorBuilder) -> Result<(), QueryError> {
        let Some(changed) = self.change.apply(row.labels, &mut self.text) else {
            out.push_copy(row.labels, row);
            return Ok(());
        };
        // A name that was set stays.
        if labels::split_mark(row.labels).0 && self.change.target() != METRIC_NAME {
            let mut marked = Vec::with_capacity(changed.as_bytes().len() + 2);
            NameRemoval::Delayed.apply_into(changed.as_bytes(), &mut marked);
            out.push_copy(&marked, row);
        } else {
            out.push_copy(changed.as_bytes(), row);
        }
        Ok(())
    }
}
